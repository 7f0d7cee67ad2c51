"""The topics of the feeds' dead letters: there before the first is written, and read for those that are tried again."""

from __future__ import annotations

import asyncio

from confluent_kafka.admin import AdminClient

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import PositionGone
from headrace.consumers.core.record import Record
from headrace.consumers.core.tail import Tail
from headrace.kafka.topics import TopicSpec, ensure_topics
from headrace.schemas.feed import Feed


class DeadLetters:
    """The dead letters of the feeds that subscriptions read."""

    def __init__(self, admin: AdminClient, tail: Tail, replication_factor: int) -> None:
        self._admin = admin
        self._tail = tail
        self._replication_factor = replication_factor
        self._specs: dict[str, TopicSpec] = {}
        self._making = asyncio.Lock()

    async def ensure(self, feed: Feed) -> None:
        """Make the topic for a feed; raises `KafkaException`, `TimeoutError`."""
        dead = feed.dead_letters
        async with self._making:  # thousands may begin at once
            if dead not in self._specs:
                spec = self._tail.catalogue[dead].feed.topic_spec()
                await ensure_topics(self._admin, [spec], replication_factor=self._replication_factor)
                self._specs[dead] = spec

    @property
    def topics(self) -> list[TopicSpec]:
        """The topics that were made sure of."""
        return list(self._specs.values())

    async def log(self, feed: Feed) -> FeedLog:
        """The dead letters of a feed; raises `UnknownFeed`, `UnknownTopic`, `KafkaUnavailable`."""
        return await self._tail.log(feed.dead_letters)

    async def letter(self, feed: Feed, offset: int) -> Record:
        """One of them; raises `PositionGone` too."""
        log = await self.log(feed)
        await log.come_to(0, offset)
        records = (await log.read((offset,), 1)).records
        if not records or records[0].offset != offset:
            raise PositionGone(f"{log.topic.topic}:0:{offset} is no longer kept", (offset,))
        return records[0]
