"""Following partitions in a thread of its own: whole batches of records cross to the event loop, once per batch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from queue import SimpleQueue
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

log = structlog.get_logger(__name__)

BATCH = 5000
AHEAD = 4
"""Batches that may wait for the event loop before the thread stops reading: a slow loop costs lag, not memory."""
TROUBLE_S = 1.0

_Call = tuple[Callable[[list[TopicPartition]], None], list[TopicPartition], asyncio.Future[None]]


def consumer_config(kafka: Mapping[str, Any], name: str) -> dict[str, Any]:
    """librdkafka's configuration of a consumer that is assigned, never subscribed, and sees committed records only."""
    return {
        **kafka,
        "logger": logging.getLogger("librdkafka"),
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
        # The client lets one thread in at a time, and a thread that consumes in a loop keeps all others out: so
        # whatever is asked of it is asked by that thread.
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"{name}-follower", daemon=True)
        self._thread.start()

    async def follow(self, partitions: Iterable[TopicPartition]) -> None:
        """Add partitions, each from its offset."""
        await self._call(self._assign, list(partitions))

    def _assign(self, partitions: list[TopicPartition]) -> None:
        # Else it looks for the leaders of topics that are new to it once a second only.
        for topic in {partition.topic for partition in partitions}:
            with contextlib.suppress(KafkaException):
                self._consumer.list_topics(topic, TROUBLE_S)
        self._consumer.incremental_assign(partitions)

    async def unfollow(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop reading partitions. At its end all that was under way has been handed over; nothing comes after it."""
        await self._call(self._consumer.incremental_unassign, list(partitions))

    async def _call(self, function: Callable[[list[TopicPartition]], None], partitions: list[TopicPartition]) -> None:
        done: asyncio.Future[None] = self._loop.create_future()
        self._calls.put((function, partitions, done))
        await done

    def _run(self) -> None:
        self._answer(self._calls.get())
        while not self._closing.is_set():
            while not self._calls.empty():
                self._answer(self._calls.get())
            batch: list[Message] = []
            try:
                # consume(n, t) waits all of t unless n records come; so wait for one, then take what is there.
                batch += self._consumer.consume(1, 0.1)
                if batch:
                    batch += self._consumer.consume(BATCH - 1, 0)
            except Exception:
                log.exception("kafka_consumer_failed", client=self._name)
                time.sleep(TROUBLE_S)
            if batch:
                self._ahead.acquire()
                if not self._closing.is_set():
                    self._loop.call_soon_threadsafe(self._hand_over, batch)

    def _answer(self, call: _Call) -> None:
        function, partitions, done = call
        try:
            function(partitions)
        except Exception as error:  # it belongs to whoever asked
            self._loop.call_soon_threadsafe(_settle, done, error)
        else:
            self._loop.call_soon_threadsafe(_settle, done, None)

    def _hand_over(self, batch: list[Message]) -> None:
        self._ahead.release()
        self._on_batch(batch)

    def _on_error(self, error: KafkaError) -> None:
        log.warning("kafka_consumer_error", client=self._name, code=error.name(), reason=error.str())

    async def close(self) -> None:
        """Stop the thread and leave the brokers. Calls that are still waiting are cancelled."""
        self._closing.set()
        self._ahead.release()
        self._calls.put((lambda _: None, [], self._loop.create_future()))
        await asyncio.to_thread(self._thread.join)
        while not self._calls.empty():
            self._calls.get()[2].cancel()
        await asyncio.to_thread(self._consumer.close)


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
