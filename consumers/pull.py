"""Pull: one page of events from a position on; one that is not full ends at the tail, the caller's writes included."""

from __future__ import annotations

from aiohttp import web

from headrace.consumers import page
from headrace.consumers.core.feed_log import TAIL, FeedLog
from headrace.consumers.read_request import ReadRequest
from headrace.consumers.selected_log import SelectedLog

IMMUTABLE = "public, max-age=60, stale-while-revalidate=300"


async def answer(feed_log: FeedLog, read: ReadRequest) -> web.Response:
    """One page. Raises `MalformedPosition`, `PositionGone`."""
    log = SelectedLog(feed_log, read.selection)
    start = await read.position(feed_log)
    found = await page.collect(log, start, read)
    headers = page.headers(log, found.batch)
    if read.offset == TAIL:
        headers["Cache-Control"] = "no-store"
    else:
        etag = headers["ETag"] = page.etag(log, start, found.batch.position, read)
        headers["Cache-Control"] = IMMUTABLE if found.is_of_the_past and read.from_ms is None else "no-cache"
        if _matches(read.if_none_match, etag):
            return web.Response(status=304, headers=headers)
    return await page.answer(log, found.batch, read, "pull", headers)


def _matches(if_none_match: str | None, etag: str) -> bool:
    """RFC 9110 section 13.1.2: a list, compared weakly, since a cache that compresses weakens the tag."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags
