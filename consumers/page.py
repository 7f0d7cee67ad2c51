"""A page of events: which go into it, and the answer that holds it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from aiohttp import web

from headrace import metrics
from headrace.access.principal import EVENTS
from headrace.consumers.compression import LEAST_BYTES, compressed
from headrace.consumers.core.feed_log import Batch
from headrace.consumers.core.position import Position
from headrace.consumers.frames import frame, framed_bytes
from headrace.consumers.read_request import PAGE_BYTES, ReadRequest
from headrace.consumers.selected_log import SelectedLog, first
from headrace.http.browsers import FOR_BROWSERS

SCANS = 20
"""Times that one request looks at `SCAN_EVENTS` events, where few or none of them are wanted."""


@dataclass(frozen=True, slots=True)
class Page:
    """A batch, and whether it ended for another reason than the tail: then it never changes."""

    batch: Batch
    is_of_the_past: bool


async def collect(log: SelectedLog, start: Position, read: ReadRequest) -> Page:
    """The page from a position on. Raises `PositionGone`, `KafkaUnavailable`."""
    batch = await log.read(start, read.limit)
    scans = 1
    if _has_room(log, batch, read):
        # What was read may end at the ring, not at the limit, or before the log's true end: go on to both.
        await log.feed_log.refresh()
        while _has_room(log, batch, read) and not log.at_tail(batch.position) and scans < SCANS:
            more = await log.read(batch.position, read.limit - len(batch.records))
            batch = Batch(batch.records + more.records, more.position)
            scans += log.selection.looks
    at_tail = _has_room(log, batch, read) and log.at_tail(batch.position)
    cut = within_bytes(log, batch, read)
    return Page(cut, is_of_the_past=cut is not batch or not at_tail)


def within_bytes(log: SelectedLog, batch: Batch, read: ReadRequest) -> Batch:
    """As much of a batch as `max_bytes` lets, at least one event: a page always leads on."""
    if read.max_bytes is None:
        return batch
    size_bytes = 0
    for count, record in enumerate(batch.records):
        size_bytes += framed_bytes(log.feed_log, record, read.media_type)
        if size_bytes > read.max_bytes and count > 0:
            return first(batch, count)
    return batch


def _has_room(log: SelectedLog, batch: Batch, read: ReadRequest) -> bool:
    if len(batch.records) >= read.limit or sum(record.size_bytes for record in batch.records) >= PAGE_BYTES:
        return False
    if read.max_bytes is None:
        return True
    return sum(framed_bytes(log.feed_log, r, read.media_type) for r in batch.records) < read.max_bytes


def etag(log: SelectedLog, start: Position, position: Position, read: ReadRequest) -> str:
    """What names the page: its range, what was chosen of it, its form, and whether the stream ends with it."""
    token = log.feed_log.token
    closed = log.feed_log.is_closed_at(position)
    form = f"{sorted(read.selection.parameters().items())} {read.media_type} {read.coding} {closed}"
    return f'"{token(start)}.{token(position)}.{hashlib.sha256(form.encode()).hexdigest()[:16]}"'


def headers(log: SelectedLog, batch: Batch) -> dict[str, str]:
    """The headers that say where the reader stands."""
    found = {
        "Stream-Next-Offset": log.feed_log.token(batch.position),
        "Vary": "Accept, Accept-Encoding",
        **FOR_BROWSERS,
    }
    if log.at_tail(batch.position):
        found["Stream-Up-To-Date"] = "true"
    if log.feed_log.is_closed_at(batch.position):
        found["Stream-Closed"] = "true"
    return found


async def answer(log: SelectedLog, batch: Batch, read: ReadRequest, mode: str, headers: dict[str, str]) -> web.Response:
    """The answer that holds a batch."""
    body, left_out = frame(log.feed_log, batch.records, read.media_type)
    feed = log.entry.feed.label
    if left_out:
        headers["Headrace-Left-Out"] = str(left_out)
    if read.coding is not None and len(body) > LEAST_BYTES:
        body = await compressed(body, read.coding)
        headers["Content-Encoding"] = read.coding
    metrics.events_out.labels(feed, mode).inc(len(batch.records))
    metrics.bytes_out.labels(feed, mode).inc(len(body))
    made = web.Response(body=body, headers={**headers, "Content-Type": read.content_type})
    made[EVENTS] = len(batch.records)
    return made
