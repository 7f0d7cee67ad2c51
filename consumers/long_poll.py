"""Long poll: what there is after a position, at once; else the next events as soon as they come."""

from __future__ import annotations

import asyncio
import random
import time

from aiohttp import web

from headrace import metrics
from headrace.consumers.core.feed_log import TAIL, FeedLog
from headrace.consumers.core.record import Record
from headrace.consumers.pull import page, page_headers
from headrace.consumers.read_request import ReadRequest

CURSOR_EPOCH_S = 1_728_432_000  # 9 October 2024 UTC, Durable Streams 1.0 section 8.1
CURSOR_INTERVAL_S = 20


async def answer(feed_log: FeedLog, read: ReadRequest, wait_s: float) -> web.Response:
    """A page as soon as it has an event, or 204 after `wait_s`. Raises `MalformedPosition`, `PositionGone`."""
    position = await read.position(feed_log)
    batch = await feed_log.read(position, read.limit)
    live = not batch.records
    if live:
        deadline = asyncio.get_running_loop().time() + wait_s
        with metrics.followers.labels(feed_log.entry.feed.name, "long-poll").track_inprogress():
            # What wakes it may be no event: the end of a transaction moves the tail as well.
            while not (batch.records or feed_log.gone) and (left_s := deadline - asyncio.get_running_loop().time()) > 0:
                if await feed_log.wait(batch.position, left_s) and not feed_log.gone:
                    batch = await feed_log.read(batch.position, read.limit)
    headers = page_headers(feed_log, batch)
    headers["Stream-Cursor"] = str(next_cursor(read.cursor))
    if not batch.records:
        # An empty answer that a cache keeps would be repeated to its clients for ever.
        headers["Cache-Control"] = "no-store"
        empty = web.Response(status=204, headers=headers)
        if feed_log.gone:
            empty.force_close()  # the process stops: whoever asks again must not find this connection
        return empty
    headers["Cache-Control"] = "no-store" if read.offset == TAIL else "no-cache"
    if live:
        observe_latency(feed_log, "long-poll", batch.records)
    return page(feed_log, batch, read.media_type, "long-poll", headers)


def next_cursor(client: int | None) -> int:
    """The number of the present interval; above the client's own where that is not behind (section 8.1)."""
    interval = int(time.time() - CURSOR_EPOCH_S) // CURSOR_INTERVAL_S
    if client is None or client < interval:
        return interval
    return client + max(1, random.randint(1, 3600) // CURSOR_INTERVAL_S)  # noqa: S311


def observe_latency(feed_log: FeedLog, mode: str, records: list[Record]) -> None:
    """Note how long ago the newest of the records was accepted: one observation for a batch that leaves together."""
    age_s = time.time() - max(record.timestamp_ms for record in records) / 1000
    metrics.latency_seconds.labels(feed_log.entry.feed.name, mode).observe(max(age_s, 0.0))
