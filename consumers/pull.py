"""Pull: one page of events from a position on; one that is not full ends at the tail, the caller's writes included."""

from __future__ import annotations

from aiohttp import web

from headrace import metrics
from headrace.access.principal import EVENTS
from headrace.consumers.core.feed_log import TAIL, Batch, FeedLog
from headrace.consumers.core.record import Record
from headrace.consumers.read_request import JSON, NDJSON, ReadRequest

IMMUTABLE = "public, max-age=60, stale-while-revalidate=300"
PAGE_BYTES = 8 * 2**20
"""A page ends once it has so many bytes of records, however few they are."""


async def answer(feed_log: FeedLog, read: ReadRequest) -> web.Response:
    """One page. Raises `MalformedPosition`, `PositionGone`."""
    start = await read.position(feed_log)
    batch = await feed_log.read(start, read.limit)
    if _has_room(batch, read.limit):
        # What was read may end at the ring, not at the limit, or before the log's true end: go on to both.
        await feed_log.refresh()
        while _has_room(batch, read.limit):
            more = await feed_log.read(batch.position, read.limit - len(batch.records))
            batch = Batch(batch.records + more.records, more.position)
            if not more.records:
                break
    etag = f'"{feed_log.token(start)}.{feed_log.token(batch.position)}.{read.media_type}"'
    headers = page_headers(feed_log, batch)
    if read.offset == TAIL:
        headers["Cache-Control"] = "no-store"
    else:
        headers["ETag"] = etag
        full = len(batch.records) == read.limit
        headers["Cache-Control"] = IMMUTABLE if full and read.from_ms is None else "no-cache"
        if _matches(read.if_none_match, etag):
            return web.Response(status=304, headers=headers)
    return page(feed_log, batch, read.media_type, "pull", headers)


def _has_room(batch: Batch, limit: int) -> bool:
    return len(batch.records) < limit and sum(record.size_bytes for record in batch.records) < PAGE_BYTES


def _matches(if_none_match: str | None, etag: str) -> bool:
    """RFC 9110 section 13.1.2: a list, compared weakly, since a cache that compresses weakens the tag."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags


def page_headers(feed_log: FeedLog, batch: Batch) -> dict[str, str]:
    """The headers that say where the reader stands."""
    headers = {
        "Stream-Next-Offset": feed_log.token(batch.position),
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }
    if all(at >= end for at, end in zip(batch.position, feed_log.tail, strict=False)):
        headers["Stream-Up-To-Date"] = "true"
    return headers


def page(feed_log: FeedLog, batch: Batch, media_type: str, mode: str, headers: dict[str, str]) -> web.Response:
    """The answer that holds a batch."""
    body = frame(feed_log, batch.records, media_type)
    feed = feed_log.entry.feed.name
    metrics.events_out.labels(feed, mode).inc(len(batch.records))
    metrics.bytes_out.labels(feed, mode).inc(len(body))
    answer = web.Response(body=body, headers={**headers, "Content-Type": media_type})
    answer[EVENTS] = len(batch.records)
    return answer


def frame(feed_log: FeedLog, records: list[Record], media_type: str) -> bytes:
    """Records as a JSON array, or as one JSON object in each line."""
    events = [feed_log.json(record) for record in records]
    if media_type == NDJSON:
        return b"".join(event + b"\n" for event in events)
    assert media_type == JSON
    return b"[" + b",".join(events) + b"]"
