"""Server-sent events: history and then live on one connection, resumable at any event.

Each chunk is an event `data` with an array of events, whose `id:` is the offset token after them, so that a plain
EventSource resumes by itself; and an event `control` as Durable Streams 1.0 has it (section 5.8), with the `id:` where
there is no `data` before it. A client that asked to be disconnected rather than fall behind gets an event `disconnect`
at last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from aiohttp import web

from headrace.access.principal import principal_of
from headrace.consumers.compression import stream_chunk, stream_start
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.fan_out import Frames
from headrace.consumers.fan_outs import FanOuts, planned_end_s
from headrace.consumers.follower import Ending, Follower
from headrace.consumers.following import Following
from headrace.consumers.read_request import ReadRequest
from headrace.consumers.selected_log import SelectedLog
from headrace.consumers.sse_frames import SseFrames
from headrace.consumers.stream_cursor import least_cursor
from headrace.consumers.stream_events import StreamEvents
from headrace.durable.media_type import is_text
from headrace.http.browsers import FOR_BROWSERS
from headrace.http.head import with_signals
from headrace.http.problems import stopping
from headrace.settings import ServeSettings

HIGH_WATER_BYTES = 256 * 1024


class ServerSentEvents:
    """The SSE mode: one fan-out for all followers that want the same of a feed in the same coding."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._fan_outs: FanOuts[Form] = FanOuts("sse", settings, frames_of)
        self._draining = False

    async def answer(self, request: web.Request, feed_log: FeedLog, read: ReadRequest) -> web.StreamResponse:
        """Begin the answer and give the connection away. Raises `MalformedPosition`, `PositionGone`."""
        if feed_log.entry.feed.is_stream:
            # So that a writer finds its own writes, and is told once that it is up to date.
            await feed_log.refresh()
        position = await read.position(feed_log)
        # A position that is gone is told as a status, so look before the answer begins.
        await SelectedLog(feed_log, read.selection).check(position)
        begin = await with_signals(request, head(read.coding, in_base64=_in_base64(feed_log)))
        if self._draining:
            raise stopping()
        if request.transport is None:
            raise ConnectionResetError
        principal = principal_of(request)
        closes_at_s = planned_end_s(self._settings.live_s)
        follower = Follower(position, closes_at_s, read.slow)
        follower.meter(principal)
        request.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        follower.take_over(request, begin)
        follower.on_close = principal.on_end(lambda: follower.cut(Ending.UNAUTHORIZED))
        self._fan_outs.of(feed_log, read.selection, (read.coding, least_cursor(read.cursor))).add(follower)
        await asyncio.sleep(0)  # aiohttp cancels this handler here: the connection is no longer its own
        return web.Response()

    def following(self) -> Iterator[Following]:
        """All clients, as an operator is told of them."""
        return self._fan_outs.following()

    def drain(self) -> None:
        """Close all connections; their clients resume elsewhere."""
        self._draining = True
        self._fan_outs.end(Ending.GOING_AWAY)


Form = tuple[str | None, int]
"""Followers of one form get the same chunks: their content coding, and the least cursor that they are to be told."""


def frames_of(feed_log: FeedLog, form: Form) -> Frames:
    """How the events of a feed are said."""
    return StreamEvents(feed_log, *form) if feed_log.entry.feed.is_stream else SseFrames(feed_log, *form)


def _in_base64(feed_log: FeedLog) -> bool:
    feed = feed_log.entry.feed
    return feed.is_stream and not is_text(feed.media_type)


def head(coding: str | None, *, in_base64: bool) -> bytes:
    """What an answer begins with; `in_base64` says that the data is."""
    headers = dict(FOR_BROWSERS)
    if coding is not None:
        headers["Content-Encoding"] = coding
    if in_base64:
        headers["Stream-SSE-Data-Encoding"] = "base64"
    added = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: text/event-stream\r\n"
        b"Cache-Control: no-cache, no-store\r\n"
        b"Vary: Accept, Accept-Encoding\r\n"
        b"X-Accel-Buffering: no\r\n"
        b"Connection: close\r\n"
        + added.encode()
        + b"\r\n"
        + stream_start(coding)
        + stream_chunk(b"retry: 1000\n\n", coding)
    )
