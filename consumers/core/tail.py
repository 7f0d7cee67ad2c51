"""The tail: one consumer per process for all followed feeds, filling their rings."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import structlog
from confluent_kafka import KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog, readable_ends
from headrace.consumers.core.history import History
from headrace.consumers.core.record import Record
from headrace.consumers.core.ring import Ring
from headrace.kafka.follower import Follower
from headrace.kafka.offsets import KafkaUnavailable, Offsets, UnknownTopic
from headrace.schemas.catalogue import Entry

log = structlog.get_logger(__name__)

WATCH_S = 2.0


class UnknownFeed(Exception):
    """No feed has this name."""


class Tail:
    """The feeds that this process reads. A feed is followed from the first time that somebody asks for it."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        admin: AdminClient,
        catalogue: Mapping[str, Entry],
        *,
        ring_bytes: int,
        ring_age_s: float,
        history_consumers: int,
    ) -> None:
        self.catalogue = catalogue
        self._offsets = Offsets(admin)
        self._ring_bytes = ring_bytes
        self._ring_age_s = ring_age_s
        self._history = History(kafka, self._offsets, history_consumers)
        self._follower = Follower(kafka, name="tail", on_batch=self._take)
        self._logs: dict[str, FeedLog] = {}
        self._by_topic: dict[str, FeedLog] = {}
        self._opening: dict[str, asyncio.Task[FeedLog]] = {}
        self._beginning: set[asyncio.Task[None]] = set()
        self._recovering: dict[tuple[FeedLog, int], asyncio.Task[None]] = {}
        self._watching = asyncio.ensure_future(self._watch())

    async def log(self, feed: str) -> FeedLog:
        """The log of a feed, followed from now on. Raises `UnknownFeed`, `UnknownTopic`, `KafkaUnavailable`."""
        if (found := self._logs.get(feed)) is not None:
            found.asked()
            return found
        if feed not in self.catalogue:
            raise UnknownFeed(feed)
        if feed not in self._opening:
            task = asyncio.ensure_future(self._open(feed))
            self._opening[feed] = task
            task.add_done_callback(lambda _: self._opening.pop(feed))
        return await asyncio.shield(self._opening[feed])

    def opened(self, feed: str) -> FeedLog | None:
        """The log of a feed where it is followed."""
        return self._logs.get(feed)

    async def _open(self, feed: str) -> FeedLog:
        entry = self.catalogue[feed]
        identity = await self._offsets.identity(entry.feed.topic)
        ends = readable_ends(entry, await self._offsets.ends(identity.topic, identity.partitions))
        opened = FeedLog(entry, identity, ends, self._history, self._offsets, self._ring_bytes, self._check)
        if (await self._offsets.identity(entry.feed.topic)).partitions == identity.partitions:
            opened.counted = tuple(ends)
        self._logs[feed] = self._by_topic[identity.topic] = opened
        # The consumer hears of it within a tenth of a second, and misses nothing: readers need not wait for that.
        task = asyncio.ensure_future(self._follow(opened, ends))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)
        return opened

    async def _follow(self, feed_log: FeedLog, ends: list[int]) -> None:
        feed, topic = feed_log.entry.feed.name, feed_log.topic.topic
        try:
            await self._follower.follow(TopicPartition(topic, p, end) for p, end in enumerate(ends))
        except Exception:
            log.exception("feed_not_followed", feed=feed)
            metrics.errors.labels("tail").inc()
            await self.drop(feed_log)
        else:
            log.info("feed_followed", feed=feed, partitions=len(ends))

    def _take(self, batch: list[Message]) -> None:
        touched: Counter[FeedLog] = Counter()
        by_topic = self._by_topic
        for message in batch:
            feed_log = by_topic.get(message.topic() or "")
            partition, offset = message.partition() or 0, message.offset() or 0
            if feed_log is None or partition >= len(feed_log.rings):
                continue
            error = message.error()
            if error is None:
                feed_log.rings[partition].append(Record(message, partition, offset))
                touched[feed_log] += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                feed_log.rings[partition].reach(*readable_ends(feed_log.entry, [offset]))
                touched[feed_log] += 0
            elif not error.retriable():
                self._spawn_recovery(feed_log, partition, error)
        for feed_log, count in touched.items():
            feed_log.settle(count)

    def _spawn_recovery(self, feed_log: FeedLog, partition: int, error: KafkaError) -> None:
        log.warning(
            "tail_restarted", feed=feed_log.entry.feed.name, partition=partition, code=error.name(), reason=error.str()
        )
        metrics.errors.labels("tail").inc()
        if (feed_log, partition) in self._recovering:
            return
        task = asyncio.ensure_future(self._recover(feed_log, partition))
        self._recovering[feed_log, partition] = task
        task.add_done_callback(lambda _: self._recovering.pop((feed_log, partition)))

    async def _recover(self, feed_log: FeedLog, partition: int) -> None:
        """Follow a partition anew from its end; what lies between is history's."""
        topic = feed_log.topic.topic
        while not feed_log.gone:
            try:
                await self._check(feed_log)
                ends = readable_ends(feed_log.entry, await self._offsets.ends(topic, len(feed_log.rings)))
                break
            except KafkaUnavailable:
                await asyncio.sleep(1)
        async with feed_log.changing:
            if feed_log.gone:
                return
            await self._follower.unfollow([TopicPartition(topic, partition)])
            feed_log.rings[partition].restart(ends[partition])
            await self._follower.follow([TopicPartition(topic, partition, ends[partition])])

    async def _watch(self) -> None:
        """Evict by age; see partitions that were added and topics that were made again."""
        while True:
            await asyncio.sleep(WATCH_S)
            followed = list(self._logs.values())
            for feed_log in followed:
                feed_log.expire(time.monotonic() - self._ring_age_s)
            for feed_log in followed:
                try:
                    if feed_log.entry.feed.is_stream:
                        # Of these it is told by others; there may be many, most of them quiet.
                        if feed_log.is_idle(time.monotonic() - self._ring_age_s):
                            await self.drop(feed_log)
                    else:
                        await self._check(feed_log)
                except KafkaUnavailable as error:
                    log.warning("feed_check_failed", feed=feed_log.entry.feed.name, reason=str(error))
                    break
                except Exception:
                    log.exception("feed_check_failed", feed=feed_log.entry.feed.name)
                    metrics.errors.labels("tail").inc()

    async def _check(self, feed_log: FeedLog) -> None:
        """Follow partitions that were added; end the log of a topic that was deleted or made again."""
        topic, tail = feed_log.topic.topic, feed_log.tail
        try:
            identity = await self._offsets.identity(topic)
        except UnknownTopic:
            log.warning("feed_topic_gone", feed=feed_log.entry.feed.name, topic=topic)
            await self.drop(feed_log)
            return
        if identity.topic_id != feed_log.topic.topic_id:
            log.warning("feed_topic_gone", feed=feed_log.entry.feed.name, topic=topic)
            await self.drop(feed_log)
            return
        async with feed_log.changing:
            new = range(len(feed_log.rings), identity.partitions)
            if new and not feed_log.gone:
                log.info("partitions_added", feed=feed_log.entry.feed.name, partitions=identity.partitions)
                feed_log.rings.extend(Ring(0, self._ring_bytes) for _ in new)
                await self._follower.follow(TopicPartition(topic, p, 0) for p in new)
            elif len(tail) == identity.partitions:
                feed_log.counted = tail

    async def drop(self, feed_log: FeedLog) -> None:
        """Follow a feed no more: its topic is gone, or nobody reads it. Who still does must ask anew."""
        feed, topic = feed_log.entry.feed.name, feed_log.topic.topic
        async with feed_log.changing:
            if self._logs.get(feed) is not feed_log:
                return
            # Readers ask anew only now, when no record of the old topic can come any more.
            await self._follower.unfollow([TopicPartition(topic, p) for p in range(len(feed_log.rings))])
            del self._logs[feed], self._by_topic[topic]
            feed_log.end()
        log.debug("feed_left", feed=feed)

    def wake(self) -> None:
        """End all waits, because the process is going to stop."""
        for feed_log in self._logs.values():
            feed_log.end()

    async def close(self) -> None:
        """Stop following and leave the brokers."""
        for task in (self._watching, *self._recovering.values(), *self._opening.values(), *self._beginning):
            task.cancel()
        await self._follower.close()
        await self._history.close()
