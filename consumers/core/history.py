"""Reading what is older than the rings: a small pool of assigned consumers, with equal ranges read once and cached."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from headrace.consumers.core.record import Record
from headrace.kafka.follower import consumer_config
from headrace.kafka.offsets import KafkaUnavailable

log = structlog.get_logger(__name__)

CACHE_BYTES = 64 * 2**20
STALL_S = 10.0

Offsets = Mapping[int, int]
_Key = tuple[str, tuple[tuple[int, int], ...], int]


class OffsetGone(Exception):
    """An offset is no longer in the log."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"{topic}:{partition}:{offset}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of a topic, in order within each partition, and where each of the partitions asked for stands after."""

    records: list[Record]
    after: Offsets
    size_bytes: int


class History:
    """Reads ranges of topics. A consumer stays where its last read ended, so that the next page needs no seek."""

    def __init__(self, kafka: Mapping[str, Any], consumers: int) -> None:
        config = {**consumer_config(kafka, "history"), "queued.max.messages.kbytes": 8 * 1024}
        self._idle = [_Cursor(config) for _ in range(consumers)]
        self._free = asyncio.Semaphore(consumers)
        self._threads = ThreadPoolExecutor(consumers, thread_name_prefix="history")
        self._cache: OrderedDict[_Key, Chunk] = OrderedDict()
        self._cached_bytes = 0
        self._reading: dict[_Key, asyncio.Task[Chunk]] = {}

    async def read(self, topic: str, start: Offsets, end: Offsets, limit: int) -> Chunk:
        """At most `limit` records of the ranges `[start, end)`, and at least one unless there are none.

        Raises `OffsetGone`, or `KafkaUnavailable` when nothing came for 10 s.
        """
        key = (topic, tuple(sorted(start.items())), limit)
        if (chunk := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            return chunk
        task = self._reading.get(key)
        if task is None:
            task = asyncio.ensure_future(self._fetch(topic, start, end, limit))
            self._reading[key] = task
            task.add_done_callback(lambda done: self._keep(key, done))
        # One reader that goes away must not cancel the read of the others.
        return await asyncio.shield(task)

    async def _fetch(self, topic: str, start: Offsets, end: Offsets, limit: int) -> Chunk:
        async with self._free:
            cursor = next((c for c in self._idle if c.stands_at(topic, start)), self._idle[0])
            self._idle.remove(cursor)
            try:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, cursor.read, topic, start, end, limit)
            finally:
                # The one used longest ago is taken first for a new place.
                self._idle.append(cursor)

    def _keep(self, key: _Key, task: asyncio.Task[Chunk]) -> None:
        del self._reading[key]
        if task.cancelled() or task.exception() is not None:
            return
        chunk = task.result()
        if not chunk.records:
            return
        self._cache[key] = chunk
        self._cached_bytes += chunk.size_bytes
        while self._cached_bytes > CACHE_BYTES:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= oldest.size_bytes

    async def close(self) -> None:
        """End the reads that are under way and close the consumers."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
        for cursor in self._idle:
            await asyncio.to_thread(cursor.close)


class _Cursor:
    """A consumer and where it stands. Used by one thread at a time."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._consumer = Consumer({**config, "error_cb": _log_error})
        self._topic = ""
        self._next: dict[int, int] = {}

    def stands_at(self, topic: str, start: Offsets) -> bool:
        return topic == self._topic and all(self._next.get(p) == offset for p, offset in start.items())

    def read(self, topic: str, start: Offsets, end: Offsets, limit: int) -> Chunk:
        self._go_to(topic, start)
        unread = {p for p, offset in start.items() if offset < end[p]}
        records: list[Record] = []
        deadline = time.monotonic() + STALL_S
        try:
            while unread and len(records) < limit:
                # consume(n, t) waits all of t unless n records come; so wait for one, then take what is there.
                batch = self._consumer.consume(1, 0.1)
                if batch:
                    deadline = time.monotonic() + STALL_S
                    batch += self._consumer.consume(limit - len(records) - 1, 0)
                    for message in batch:
                        self._take(message, topic, end, records, unread)
                elif time.monotonic() > deadline:
                    raise KafkaUnavailable(f"nothing came of {topic} for {STALL_S:.0f} s")
        except BaseException:
            self._topic = ""  # where it stands is not known any more
            raise
        return Chunk(
            records, {p: min(self._next[p], max(end[p], start[p])) for p in start}, sum(r.size_bytes for r in records)
        )

    def _go_to(self, topic: str, start: Offsets) -> None:
        if self.stands_at(topic, start):
            if extra := self._next.keys() - start.keys():
                self._consumer.incremental_unassign([TopicPartition(topic, p) for p in extra])
        else:
            self._consumer.assign([TopicPartition(topic, p, offset) for p, offset in start.items()])
        self._topic = topic
        self._next = dict(start)

    def _take(self, message: Message, topic: str, end: Offsets, records: list[Record], unread: set[int]) -> None:
        partition, offset = message.partition() or 0, message.offset() or 0
        if partition not in self._next or message.topic() != topic:
            return  # left over from an assignment before
        error = message.error()
        if error is None:
            if offset < self._next[partition]:
                return
            self._next[partition] = offset + 1
            if offset < end[partition]:
                records.append(Record(message, partition, offset))
        elif error.code() == KafkaError._PARTITION_EOF:
            self._next[partition] = max(self._next[partition], offset)
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise OffsetGone(topic, partition, self._next[partition])
        else:
            raise KafkaUnavailable(error.str())
        if self._next[partition] >= end[partition]:
            unread.discard(partition)

    def close(self) -> None:
        self._consumer.close()


def _log_error(error: KafkaError) -> None:
    log.warning("kafka_consumer_error", client="history", code=error.name(), reason=error.str())
