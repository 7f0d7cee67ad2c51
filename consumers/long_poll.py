"""Long poll: what there is after a position, at once; else the next events as soon as they come."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from headrace import metrics
from headrace.consumers import page
from headrace.consumers.core.feed_log import TAIL, Batch, FeedLog
from headrace.consumers.core.record import Record
from headrace.consumers.read_request import ReadRequest
from headrace.consumers.selected_log import SelectedLog
from headrace.consumers.stream_cursor import CURSOR_INTERVAL_S, next_cursor

COLLAPSED = f"public, max-age={CURSOR_INTERVAL_S}"
"""Of answers with events: clients that wait at one position are one request to the gateway behind a cache."""


async def answer(feed_log: FeedLog, read: ReadRequest, wait_s: float) -> web.Response:
    """A page as soon as it has an event, or 204 after `wait_s`. Raises `MalformedPosition`, `PositionGone`."""
    log = SelectedLog(feed_log, read.selection)
    batch = await log.read(await read.position(feed_log), read.limit)
    live = not batch.records
    if live:
        with metrics.followers.labels(feed_log.entry.feed.label, "long-poll").track_inprogress():
            batch = await _wait(log, batch, read, wait_s)
    batch = page.within_bytes(log, batch, read)
    headers = page.headers(log, batch)
    headers["Stream-Cursor"] = str(next_cursor(read.cursor))
    if not batch.records:
        # An empty answer that a cache keeps would be repeated to its clients for ever.
        headers["Cache-Control"] = "no-store"
        if not feed_log.gone and not log.at_tail(batch.position):
            return await page.answer(log, batch, read, "long-poll", headers)
        empty = web.Response(status=204, headers=headers)
        if feed_log.gone:
            empty.force_close()  # the process stops: whoever asks again must not find this connection
        return empty
    # Any answer with events stays one to this URL; that it is at the tail does not stay so, and only for that long.
    keeps = read.offset != TAIL and read.from_ms is None
    headers["Cache-Control"] = COLLAPSED if keeps else "no-store"
    if live:
        observe_latency(feed_log, "long-poll", batch.records)
    return await page.answer(log, batch, read, "long-poll", headers)


async def _wait(log: SelectedLog, batch: Batch, read: ReadRequest, wait_s: float) -> Batch:
    """The first batch with an event; one without after `wait_s`, or where looking for one in history takes long."""
    now = asyncio.get_running_loop().time
    deadline, scans = now() + wait_s, 1
    while (
        not (batch.records or log.gone or log.feed_log.is_closed_at(batch.position))
        and (left_s := deadline - now()) > 0
    ):
        # What wakes it may be no event: the end of a transaction moves the tail as well.
        if log.at_tail(batch.position):
            scans = 0
            if not await log.wait(batch.position, left_s) or log.gone:
                continue
        if scans == page.SCANS:
            break
        batch = await log.read(batch.position, read.limit)
        scans += 1
    if batch.records or log.gone:
        return batch
    # Partitions that are not read woke nobody: step over what came in them.
    return log.read_rings(batch.position, read.limit) or batch


def observe_latency(feed_log: FeedLog, mode: str, records: list[Record]) -> None:
    """Note how long ago the newest of the records was accepted: one observation for a batch that leaves together."""
    age_s = time.time() - max(record.timestamp_ms for record in records) / 1000
    metrics.latency_seconds.labels(feed_log.entry.feed.label, mode).observe(max(age_s, 0.0))
