"""The logs of feeds where there are streams: of those, opened when somebody reads them, dropped when they are gone."""

from __future__ import annotations

import asyncio

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.tail import Tail, UnknownFeed
from headrace.durable.stream import Stream
from headrace.durable.table import StreamTable
from headrace.schemas.catalogue import Catalogue


class StreamLogs:
    """What connects the table of streams with the reader core. A file's feed goes before a stream of the same name."""

    def __init__(self, tail: Tail, catalogue: Catalogue, table: StreamTable) -> None:
        self._tail = tail
        self._catalogue = catalogue
        self._table = table
        self._dropping: set[asyncio.Task[None]] = set()
        table.listen(self._changed)

    async def log(self, name: str) -> FeedLog:
        """The log of a feed, of a stream as it is now. Raises `UnknownFeed`, `UnknownTopic`, `KafkaUnavailable`."""
        if name in self._catalogue:
            return await self._tail.log(name)
        while (stream := await self._table.find(name)) is not None:
            found = await self._tail.log(name)
            if found.topic.topic_id == stream.topic_id:
                if stream.closed and found.closed_at is None:
                    found.close(stream.end)
                return found
            await self._tail.drop(found)  # of the stream that had this name before
        raise UnknownFeed(name)

    async def is_latest(self, feed_log: FeedLog) -> bool:
        """Whether no other stream has its name by now, as far as Kafka knows; raises `KafkaUnavailable`."""
        feed = feed_log.entry.feed
        if not feed.is_stream:
            return True
        await self._table.definitions.catch_up()
        stream = self._table.get(feed.name)
        return stream is not None and stream.topic_id == feed_log.topic.topic_id

    def _changed(self, name: str, stream: Stream | None) -> None:
        found = self._tail.opened(name)
        if found is None or not found.entry.feed.is_stream:
            return
        if stream is None or stream.topic_id != found.topic.topic_id:
            task = asyncio.ensure_future(self._tail.drop(found))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)
        elif stream.closed and found.closed_at is None:
            found.close(stream.end)

    async def close(self) -> None:
        """Stop."""
        if self._dropping:
            await asyncio.wait(self._dropping)
