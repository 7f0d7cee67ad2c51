"""The logs of durable streams: opened when somebody reads them, told of closure, dropped when the stream is no more."""

from __future__ import annotations

import asyncio

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.tail import Tail, UnknownFeed
from headrace.durable.stream import Stream
from headrace.durable.streams import Streams

KEEP_S = 0.5


class StreamLogs:
    """What connects the streams with the reader core."""

    def __init__(self, tail: Tail, streams: Streams) -> None:
        self._tail = tail
        self._streams = streams
        self._dropping: set[asyncio.Task[None]] = set()
        streams.table.listen(self._changed)
        self._keeping = asyncio.ensure_future(self._keep())

    async def log(self, name: str) -> FeedLog:
        """The log of a stream as it is now. Raises `UnknownFeed`, `UnknownTopic`, `KafkaUnavailable`."""
        while (stream := await self._streams.table.find(name)) is not None:
            found = await self._tail.log(name)
            if found.topic.topic_id == stream.topic_id:
                if stream.closed and found.closed_at is None:
                    found.close(stream.end)
                return found
            await self._tail.drop(found)  # of the stream that had this name before
        raise UnknownFeed(name)

    async def _keep(self) -> None:
        """Who follows a stream reads it all the time: it does not expire meanwhile."""
        while True:
            await asyncio.sleep(KEEP_S)
            for name in list(self._streams.table.mortal):
                found = self._tail.opened(name)
                if found is not None and found.is_followed:
                    self._streams.touch(name)

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
        self._keeping.cancel()
        await asyncio.wait([self._keeping, *self._dropping])
