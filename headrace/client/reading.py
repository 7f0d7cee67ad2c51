"""Reading a feed: one page, or page after page and then live.

Live means long polls, not server-sent events: a page is asked for when the one before was dealt with, so the reader's
pace is the pace, nothing piles up in between, and every answer carries the position to keep. What a stream of
server-sent events saves, a request per page, matters to many followers of one gateway, not to one consumer.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from headrace.client.exchange import ANSWER_S, Answer, Exchange, Request, backoff_s
from headrace.client.feed import feed_path
from headrace.client.page import Page
from headrace.client.problems import FeedNotFound, HeadraceError

NDJSON = "application/x-ndjson"
BEGINNING = "-1"
PAGE_EVENTS = 1000
LONG_POLL_SILENCE_S = 90.0
"""A gateway that says nothing for longer is taken for dead: well above the 25 s after which it answers unasked."""

AT_ONCE_S = 0.1
"""An empty long poll that took less did not wait: the gateway is about to stop. Asking on at full speed hinders it."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to read from: an offset (`-1`, `now`, or a page's `next_offset`), or the first events of a time."""

    offset: str | None = None
    time: datetime | None = None

    def __post_init__(self) -> None:
        if self.offset is not None and self.time is not None:
            raise ValueError("give an offset or a time, not both")
        if self.time is not None:
            time_text(self.time)

    def params(self) -> dict[str, str]:
        """The query of a read."""
        if self.time is not None:
            return {"from": time_text(self.time)}
        return {"offset": BEGINNING if self.offset is None else self.offset}


def time_text(moment: datetime) -> str:
    """A time in a request: RFC 3339; raises ValueError for one whose offset from UTC nobody knows."""
    if moment.tzinfo is None:
        raise ValueError("the time needs its offset from UTC, such as tzinfo=datetime.UTC")
    return moment.isoformat()


async def pull(
    exchange: Exchange,
    feed: str,
    start: Start,
    *,
    limit: int | None = None,
    patience_s: float | None = None,
) -> Page:
    """One page, at once. Raises `FeedNotFound`, `OffsetGone`, `BadRequest`, `Unavailable`."""
    return await _page(exchange, feed, _query(start, limit), patience_s, ANSWER_S)


async def read(
    exchange: Exchange,
    feed: str,
    start: Start,
    *,
    follow: bool,
    page_events: int | None,
    max_events: int | None,
    patience_s: float | None,
) -> AsyncIterator[Page]:
    """Pages in order, each once: up to the tail, or with `follow` on and on.

    Whatever happens on the way, the next page is asked for from the position after the last one, so that nothing is
    skipped or repeated. A page without events is given only where the position moved.
    """
    if patience_s is None and follow:
        patience_s = math.inf
    left = math.inf if max_events is None else max_events
    live, idle, cursor = False, 0, None
    while left > 0:
        limit = page_events if left == math.inf else int(min(left, page_events or PAGE_EVENTS))
        query = _query(start, limit)
        asked = time.monotonic()
        if live:
            query["live"] = "long-poll"
            query |= {} if cursor is None else {"cursor": cursor}
        page = await _page(exchange, feed, query, patience_s, LONG_POLL_SILENCE_S if live else ANSWER_S)
        if page.next_offset != start.offset:
            yield page
            idle = 0
        elif live and time.monotonic() - asked < AT_ONCE_S:
            await asyncio.sleep(backoff_s(idle))
            idle += 1
        else:
            idle = 0
        if page.up_to_date and not follow:
            return
        left -= len(page)
        start, live, cursor = Start(page.next_offset), page.up_to_date, page.cursor


def _query(start: Start, limit: int | None) -> dict[str, str]:
    return start.params() | ({} if limit is None else {"limit": str(limit)})


async def _page(
    exchange: Exchange, feed: str, query: dict[str, str], patience_s: float | None, silence_s: float
) -> Page:
    request = Request(
        "GET",
        f"{feed_path(feed)}/events",
        params=query,
        headers={"Accept": NDJSON},
        silence_s=silence_s,
        not_found=FeedNotFound,
    )
    answer = await exchange.ask(request, patience_s=patience_s)
    return _page_of(answer, exchange.url)


def _page_of(answer: Answer, url: str) -> Page:
    headers = answer.headers
    next_offset = headers.get("Stream-Next-Offset")
    if next_offset is None or (answer.body and not headers.get("Content-Type", "").startswith(NDJSON)):
        raise HeadraceError(f"The answer is not a page of events. Is {url} the address of a Headrace gateway?")
    return Page(
        answer.body, next_offset, headers.get("Stream-Up-To-Date") == "true", cursor=headers.get("Stream-Cursor")
    )
