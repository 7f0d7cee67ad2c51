"""Server-sent events: history and then live on one connection, resumable at any event.

Each chunk is an event `data` with an array of events, whose `id:` is the offset token after them, so that a plain
EventSource resumes by itself; and an event `control` as Durable Streams 1.0 has it (section 5.8), with the `id:` where
there is no `data` before it.
"""

from __future__ import annotations

import asyncio
import random
import time

import orjson
from aiohttp import web

from headrace.access.principal import principal_of
from headrace.consumers.core.feed_log import Batch, FeedLog
from headrace.consumers.fan_out import FanOut
from headrace.consumers.follower import Follower
from headrace.consumers.long_poll import next_cursor
from headrace.consumers.metered_follower import MeteredFollower
from headrace.consumers.read_request import ReadRequest
from headrace.http.head import with_signals
from headrace.settings import ServeSettings

HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream\r\n"
    b"Cache-Control: no-store\r\n"
    b"X-Accel-Buffering: no\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b"retry: 1000\n\n"
)
HEARTBEAT = b":\n\n"
HIGH_WATER_BYTES = 256 * 1024


class ServerSentEvents:
    """The SSE mode: one fan-out for each followed feed."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._fan_outs: dict[FeedLog, FanOut] = {}
        self._draining = False

    async def answer(self, request: web.Request, feed_log: FeedLog, read: ReadRequest) -> web.StreamResponse:
        """Begin the answer and give the connection away. Raises `MalformedPosition`, `PositionGone`."""
        position = await read.position(feed_log)
        # A position that is gone is told as a status, so look before the answer begins.
        await feed_log.check(position)
        head = await with_signals(request, HEAD)
        if request.transport is None or self._draining:
            raise ConnectionResetError
        spread = random.uniform(0.8, 1.2)  # noqa: S311
        principal = principal_of(request)
        closes_at_s = time.monotonic() + self._settings.live_s * spread
        follower = (
            MeteredFollower(position, closes_at_s, principal) if principal.metered else Follower(position, closes_at_s)
        )
        request.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        follower.take_over(request, head)
        follower.on_close = principal.on_end(follower.cut)
        self._fan_out(feed_log).add(follower)
        await asyncio.sleep(0)  # aiohttp cancels this handler here: the connection is no longer its own
        return web.Response()

    def _fan_out(self, feed_log: FeedLog) -> FanOut:
        found = self._fan_outs.get(feed_log)
        if found is None:
            found = FanOut(feed_log, frame, "sse", self._settings.flush_s, self._settings.heartbeat_s, HEARTBEAT)
            self._fan_outs = {known: f for known, f in self._fan_outs.items() if not known.gone}
            self._fan_outs[feed_log] = found
        return found

    def drain(self) -> None:
        """Close all connections; their clients resume elsewhere."""
        self._draining = True
        for fan_out in self._fan_outs.values():
            fan_out.end()


def frame(feed_log: FeedLog, batch: Batch, up_to_date: bool) -> bytes:
    """A batch and the control event after it; only the control event where the batch is empty."""
    token = feed_log.token(batch.position)
    control: dict[str, object] = {"streamNextOffset": token, "streamCursor": str(next_cursor(None))}
    if up_to_date:
        control["upToDate"] = True
    end = b"event: control\ndata: " + orjson.dumps(control) + b"\n\n"
    if not batch.records:
        # The id also here: who began at `now` and came again before the first event would miss what came between.
        return b"id: " + token.encode() + b"\n" + end
    events = b",".join([feed_log.json(record) for record in batch.records])
    return b"id: " + token.encode() + b"\nevent: data\ndata: [" + events + b"]\n\n" + end
