"""HEAD of a feed: where it ends, and what is known of a stream, without any of its messages."""

from __future__ import annotations

from aiohttp import web

from headrace.consumers.core.feed_log import FeedLog
from headrace.durable.stream import Stream
from headrace.http.browsers import FOR_BROWSERS


async def answer(feed_log: FeedLog, stream: Stream | None) -> web.Response:
    """The metadata (Durable Streams 1.0, section 5.4); `stream` is None for a feed that a file defines."""
    await feed_log.refresh()
    headers = {
        "Content-Type": feed_log.entry.feed.media_type,
        "Stream-Next-Offset": feed_log.token(feed_log.tail),
        "Cache-Control": "no-store",
        **FOR_BROWSERS,
    }
    if stream is not None:
        if stream.ttl_s is not None:
            headers["Stream-TTL"] = str(stream.ttl_s)
        if stream.expires is not None:
            headers["Stream-Expires-At"] = stream.expires
        if stream.closed:
            headers["Stream-Closed"] = "true"
    return web.Response(headers=headers)
