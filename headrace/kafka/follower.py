"""Following partitions in a thread of its own: whole batches of records cross to the event loop, once per batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

log = structlog.get_logger(__name__)

BATCH = 5000
AHEAD = 4
"""Batches that may wait for the event loop before the thread stops reading: a slow loop costs lag, not memory."""


def consumer_config(kafka: Mapping[str, Any], name: str) -> dict[str, Any]:
    """librdkafka's configuration of a consumer that is assigned, never subscribed, and sees committed records only."""
    return {
        **kafka,
        "client.id": f"headrace-{name}",
        "group.id": f"headrace-{name}",  # demanded by librdkafka, used for nothing: no offset is ever stored
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 32 * 1024,
    }


class Follower:
    """Reads assigned partitions and gives each batch to `on_batch` on the event loop.

    A batch holds records and, where a partition's end was reached, messages whose error is `_PARTITION_EOF` with the
    end's offset. Other errors of a partition are in it too: the receiver decides.
    """

    def __init__(self, kafka: Mapping[str, Any], *, name: str, on_batch: Callable[[list[Message]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_batch = on_batch
        self._name = name
        self._consumer = Consumer({**consumer_config(kafka, name), "error_cb": self._on_error})
        self._ahead = threading.Semaphore(AHEAD)
        self._closing = threading.Event()
        self._assigned = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-follower", daemon=True)
        self._thread.start()

    async def follow(self, partitions: Iterable[TopicPartition]) -> None:
        """Add partitions, each from its offset."""
        await asyncio.to_thread(self._consumer.incremental_assign, list(partitions))
        self._assigned.set()

    async def unfollow(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop reading partitions; records that are already under way may still arrive."""
        await asyncio.to_thread(self._consumer.incremental_unassign, list(partitions))

    def _run(self) -> None:
        consume = self._consumer.consume
        self._assigned.wait()
        while not self._closing.is_set():
            # consume(n, t) waits all of t unless n records come; so wait for one, then take what is there.
            batch = consume(1, 0.1)
            if not batch:
                continue
            batch += consume(BATCH - 1, 0)
            self._ahead.acquire()
            if not self._closing.is_set():
                self._loop.call_soon_threadsafe(self._hand_over, batch)

    def _hand_over(self, batch: list[Message]) -> None:
        self._ahead.release()
        self._on_batch(batch)

    def _on_error(self, error: KafkaError) -> None:
        log.warning("kafka_consumer_error", client=self._name, code=error.name(), reason=error.str())

    async def close(self) -> None:
        """Stop the thread and leave the brokers."""
        self._closing.set()
        self._assigned.set()
        self._ahead.release()
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._consumer.close)
