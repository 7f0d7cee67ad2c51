"""Reading what is older than the rings: a small pool of assigned consumers, with equal ranges read once and cached."""

from __future__ import annotations

import asyncio
import threading
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
from headrace.kafka.offsets import KafkaUnavailable, Offsets, TopicIdentity, UnknownTopic

log = structlog.get_logger(__name__)

CACHE_BYTES = 64 * 2**20
CHUNK_BYTES = 4 * 2**20
STALL_S = 10.0

Places = Mapping[int, int]
"""An offset for each of some partitions."""
_Key = tuple[TopicIdentity, tuple[tuple[int, int], ...], int, int]


class OffsetGone(Exception):
    """An offset is no longer in the log."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"{topic}:{partition}:{offset}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of a topic, in order within each partition, and where each of the partitions asked for stands after."""

    records: list[Record]
    after: Places
    size_bytes: int


class History:
    """Reads ranges of topics. A consumer stays where its last read ended, so that the next page needs no seek."""

    def __init__(self, kafka: Mapping[str, Any], offsets: Offsets, consumers: int) -> None:
        config = {**consumer_config(kafka, "history"), "queued.max.messages.kbytes": 8 * 1024}
        self._offsets = offsets
        self._closing = threading.Event()
        self._idle = [_Cursor(config, self._closing) for _ in range(consumers)]
        self._free = asyncio.Semaphore(consumers)
        self._threads = ThreadPoolExecutor(consumers, thread_name_prefix="history")
        self._cache: OrderedDict[_Key, Chunk] = OrderedDict()
        self._cached_bytes = 0
        self._reading: dict[_Key, asyncio.Task[Chunk]] = {}

    async def read(
        self, topic: TopicIdentity, start: Places, end: Places, limit: int, max_bytes: int = CHUNK_BYTES
    ) -> Chunk:
        """At most `limit` records of the ranges `[start, end)`, about `max_bytes`; at least one unless there are none.

        Raises `OffsetGone`, or `KafkaUnavailable` when nothing came for 10 s.
        """
        key = (topic, tuple(sorted(start.items())), limit, max_bytes)
        if (chunk := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            return chunk
        task = self._reading.get(key)
        if task is None:
            task = asyncio.ensure_future(self._fetch(topic, start, end, limit, max_bytes))
            self._reading[key] = task
            task.add_done_callback(lambda done: self._keep(key, done))
        # One reader that goes away must not cancel the read of the others.
        return await asyncio.shield(task)

    async def _fetch(self, topic: TopicIdentity, start: Places, end: Places, limit: int, max_bytes: int) -> Chunk:
        async with self._free:
            cursor = next((c for c in self._idle if c.stands_at(topic, start)), self._idle[0])
            self._idle.remove(cursor)
            try:
                loop = asyncio.get_running_loop()
                chunk = await loop.run_in_executor(self._threads, cursor.read, topic, start, end, limit, max_bytes)
            finally:
                # The one used longest ago is taken first for a new place.
                self._idle.append(cursor)
        # librdkafka reads on in a topic that was deleted and made again, and does not say so.
        try:
            found = await self._offsets.identity(topic.topic)
        except UnknownTopic:
            found = None
        if found is None or found.topic_id != topic.topic_id:
            raise OffsetGone(topic.topic, *next(iter(start.items())))
        return chunk

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
        self._closing.set()
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
        for cursor in self._idle:
            await asyncio.to_thread(cursor.close)


class _Cursor:
    """A consumer and where it stands. Used by one thread at a time."""

    def __init__(self, config: Mapping[str, Any], closing: threading.Event) -> None:
        self._consumer = Consumer({**config, "error_cb": _log_error})
        self._closing = closing
        self._topic: TopicIdentity | None = None
        self._next: dict[int, int] = {}

    def stands_at(self, topic: TopicIdentity, start: Places) -> bool:
        return topic == self._topic and all(self._next.get(p) == offset for p, offset in start.items())

    def read(self, topic: TopicIdentity, start: Places, end: Places, limit: int, max_bytes: int) -> Chunk:
        unread = {p for p, offset in start.items() if offset < end[p]}
        records: list[Record] = []
        size_bytes = 0
        deadline = time.monotonic() + STALL_S
        try:
            self._go_to(topic, start)
            while unread and len(records) < limit and size_bytes < max_bytes:
                left, unread_before = limit - len(records), len(unread)
                # consume(n, t) waits all of t unless n records come; so wait for one, then take what is there.
                batch = self._consumer.consume(1, 0.1)
                if batch and left > 1:
                    batch += self._consumer.consume(left - 1, 0)
                for message in batch:
                    self._take(message, topic.topic, end, records, unread)
                size_bytes += sum(record.size_bytes for record in records[limit - left :])
                # What comes of partitions that were read to their end is no progress.
                if len(records) > limit - left or len(unread) < unread_before:
                    deadline = time.monotonic() + STALL_S
                elif time.monotonic() > deadline or self._closing.is_set():
                    if records:
                        break
                    raise KafkaUnavailable(f"nothing came of {topic.topic} for {STALL_S:.0f} s")
        except BaseException:
            self._topic = None  # where it stands is not known any more
            raise
        return Chunk(records, {p: min(self._next[p], max(end[p], start[p])) for p in start}, size_bytes)

    def _go_to(self, topic: TopicIdentity, start: Places) -> None:
        if self.stands_at(topic, start):
            if extra := self._next.keys() - start.keys():
                self._consumer.incremental_unassign([TopicPartition(topic.topic, p) for p in extra])
        else:
            self._consumer.assign([TopicPartition(topic.topic, p, offset) for p, offset in start.items()])
        self._topic = topic
        self._next = dict(start)

    def _take(self, message: Message, topic: str, end: Places, records: list[Record], unread: set[int]) -> None:
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
