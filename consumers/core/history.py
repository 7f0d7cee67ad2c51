"""Reading what is older than the rings: a small pool of cursors, with equal ranges read once and cached."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from headrace import metrics
from headrace.consumers.core.cursor import Chunk, Cursor, OffsetGone, Places
from headrace.kafka.follower import consumer_config
from headrace.kafka.offsets import Offsets, TopicIdentity, UnknownTopic

log = structlog.get_logger(__name__)

CACHE_BYTES = 64 * 2**20
CHUNK_BYTES = 4 * 2**20
FOLLOWING = 1000
"""Readers whose next place is remembered."""
READS_ON_S = 1.0
"""How long a cursor waits for who reads on."""

CONFIG = {
    "queued.max.messages.kbytes": 8 * 1024,
    # What is read is there: Kafka is not to wait for more, and a cursor not for Kafka before it goes elsewhere.
    "fetch.wait.max.ms": 10,
}

_Key = tuple[TopicIdentity, tuple[tuple[int, int], ...], int, int]


class History:
    """Reads ranges of topics. A consumer stays where its last read ended, so that the next page needs no seek."""

    def __init__(self, kafka: Mapping[str, Any], offsets: Offsets, consumers: int) -> None:
        config = {**consumer_config(kafka, "history"), **CONFIG}
        self._offsets = offsets
        self._closing = threading.Event()
        self._idle = [Cursor(config, self._closing) for _ in range(consumers)]
        self._free = asyncio.Semaphore(consumers)
        self._threads = ThreadPoolExecutor(consumers, thread_name_prefix="history")
        self._cache: OrderedDict[_Key, Chunk] = OrderedDict()
        self._cached_bytes = 0
        self._reading: dict[_Key, asyncio.Task[Chunk]] = {}
        # Where chunks ended lately: who reads from there reads on.
        self._following: OrderedDict[_Key, None] = OrderedDict()
        self._resting = asyncio.ensure_future(self._rest())

    async def read(
        self, topic: TopicIdentity, start: Places, end: Places, limit: int, max_bytes: int = CHUNK_BYTES
    ) -> Chunk:
        """At most `limit` records of the ranges `[start, end)`, about `max_bytes`; at least one unless there are none.

        Raises `OffsetGone`, or `KafkaUnavailable` when nothing came for 10 s.
        """
        key = (topic, tuple(sorted(start.items())), limit, max_bytes)
        if (chunk := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
        else:
            # One reader that goes away must not cancel the read of the others.
            chunk = await asyncio.shield(self._reading.get(key) or self._begin(key, end))
        self._read_ahead(key, chunk, end)
        return chunk

    def _begin(self, key: _Key, end: Places) -> asyncio.Task[Chunk]:
        topic, start, limit, max_bytes = key
        task = asyncio.ensure_future(self._fetch(topic, dict(start), end, limit, max_bytes))
        self._reading[key] = task
        task.add_done_callback(lambda done: self._keep(key, done))
        return task

    def _read_ahead(self, key: _Key, chunk: Chunk, end: Places) -> None:
        """Where somebody reads on and on, the next chunk is read while this one is on its way."""
        topic, _, limit, max_bytes = key
        places = tuple(sorted((p, offset) for p, offset in chunk.after.items() if offset < end[p]))
        if not places:
            return
        following = (topic, places, limit, max_bytes)
        reads_on = key in self._following
        self._following[following] = None
        if len(self._following) > FOLLOWING:
            self._following.popitem(last=False)
        if reads_on and following not in self._cache and following not in self._reading:
            self._begin(following, {p: end[p] for p, _ in places})

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

    async def _rest(self) -> None:
        """Have cursors leave where nobody reads on: at a partition's end they ask Kafka again and again."""
        while True:
            await asyncio.sleep(READS_ON_S)
            before_s = time.monotonic() - READS_ON_S
            for cursor in [c for c in self._idle if c.stands_somewhere and c.used_s < before_s]:
                async with self._free:
                    if cursor in self._idle:
                        self._idle.remove(cursor)
                        try:
                            await asyncio.get_running_loop().run_in_executor(self._threads, cursor.leave)
                        except Exception:
                            log.exception("history_cursor_stays")
                            metrics.errors.labels("history").inc()
                        finally:
                            self._idle.insert(0, cursor)

    def _keep(self, key: _Key, task: asyncio.Task[Chunk]) -> None:
        del self._reading[key]
        if task.cancelled() or task.exception() is not None:
            return
        chunk = task.result()
        if not chunk.records:
            return
        self._cache[key] = chunk
        self._cached_bytes += chunk.memory_bytes
        while self._cached_bytes > CACHE_BYTES:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= oldest.memory_bytes

    async def close(self) -> None:
        """End the reads that are under way and close the consumers."""
        self._closing.set()
        tasks = [self._resting, *self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
        for cursor in self._idle:
            await asyncio.to_thread(cursor.close)
