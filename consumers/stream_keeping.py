"""Who follows a stream reads it all the time: it does not expire meanwhile."""

from __future__ import annotations

import asyncio

from headrace.consumers.core.tail import Tail
from headrace.durable.streams import Streams

KEEP_S = 0.5


class StreamKeeping:
    """Touches the streams that somebody follows by a service's reader core, until it is closed."""

    def __init__(self, tail: Tail, streams: Streams) -> None:
        self._tail = tail
        self._streams = streams
        self._keeping = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            for name in list(self._streams.table.mortal):
                found = self._tail.opened(name)
                if found is not None and found.is_followed:
                    self._streams.touch(name)

    async def close(self) -> None:
        """Stop."""
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
