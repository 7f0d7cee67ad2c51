"""Reading a feed page after page, and then live.

Live means long polls by default: a page is asked for when the one before was dealt with, so the reader's pace is the
pace, nothing piles up in between, and every answer carries the position to keep. A connection by server-sent events or
WebSocket saves a request per page, which matters to many followers of one gateway, not to one consumer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from headrace.client.checkpoint import CheckpointStore
from headrace.client.event import Event
from headrace.client.exchange import ANSWER_S, Exchange, Request
from headrace.client.feed import feed_path
from headrace.client.page import Page
from headrace.client.patience import backoff_s
from headrace.client.problems import FeedNotFound
from headrace.client.reading import Start, ask_page
from headrace.client.resuming import AT_ONCE_S, Connect, resumed
from headrace.client.sse import SILENCE_S, sse_pages
from headrace.client.wanted import Slow, Transport, Wanted, query, selection
from headrace.client.websocket import ID, websocket_pages

EVENT_STREAM = "text/event-stream"
PAGE_EVENTS = 1000
PAGE_BYTES = 2**20
LONG_POLL_SILENCE_S = 90.0
"""A gateway that says nothing for longer is taken for dead: well above the 25 s after which it answers unasked."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How a feed is read on. Raises ValueError for what does not go together."""

    exchange: Exchange
    feed: str
    wanted: Wanted
    follow: bool
    transport: Transport
    slow: Slow | None
    page_events: int | None
    max_events: int | None
    patience_s: float | None

    def __post_init__(self) -> None:
        if self.slow is not None and self.transport != "sse":
            raise ValueError("slow is for server-sent events: whoever asks page by page is never too slow")
        if self.max_events is not None and self.transport != "long-poll":
            raise ValueError("max_events is for pages that are asked for: leave the transport at long-poll")

    async def pages(self, start: Start) -> AsyncGenerator[Page, None]:
        """Pages in order, each once: up to the tail, or with `follow` on and on.

        Whatever happens on the way, it goes on from the position after the last page, so that nothing is skipped or
        repeated. A page without events is given only where the position moved.
        """
        polls = self.follow and self.transport == "long-poll"
        async for page in self._asked_for(start, polls):
            yield page
            start = Start(page.next_offset)
        if self.follow and not polls:
            assert start.offset is not None  # the first page has told it
            live = resumed(self._connect(), start.offset, self.exchange.patience(self._patience_s))
            async with contextlib.aclosing(live) as pages:
                async for page in pages:
                    yield page

    @property
    def _patience_s(self) -> float | None:
        return math.inf if self.patience_s is None and self.follow else self.patience_s

    async def _asked_for(self, start: Start, polls: bool) -> AsyncIterator[Page]:
        """Pages by a request each, up to the tail, or on and on by long polls."""
        left = math.inf if self.max_events is None else self.max_events
        live, idle, cursor = False, 0, None
        while left > 0:
            limit = self.page_events if left == math.inf else int(min(left, self.page_events or PAGE_EVENTS))
            params = {**start.params(), **query(self.wanted), **query({"limit": limit})}
            asked = time.monotonic()
            if live:
                params |= {"live": "long-poll", **query({"cursor": cursor})}
            silence_s = LONG_POLL_SILENCE_S if live else ANSWER_S
            page = await ask_page(self.exchange, self.feed, params, self._patience_s, silence_s)
            if page.next_offset != start.offset:
                yield page
                idle = 0
            elif live and time.monotonic() - asked < AT_ONCE_S:
                await asyncio.sleep(backoff_s(idle))
                idle += 1
            else:
                idle = 0
            if page.up_to_date and not polls:
                return
            left -= len(page)
            start, live, cursor = Start(page.next_offset), page.up_to_date, page.cursor

    def _connect(self) -> Connect:
        """One connection of the transport."""
        path = f"{feed_path(self.feed)}/events"
        if self.transport == "sse":
            asked = {"live": "sse", **query(selection(self.wanted)), **query({"slow": self.slow})}
            headers = {"Accept": EVENT_STREAM}
            return lambda offset: sse_pages(
                self.exchange,
                Request("GET", path, {**asked, "offset": offset}, headers, silence_s=SILENCE_S, not_found=FeedNotFound),
            )
        events = self.page_events or PAGE_EVENTS
        size_bytes = self.wanted.get("max_bytes") or PAGE_BYTES
        request = Request("GET", path, silence_s=SILENCE_S, not_found=FeedNotFound)
        chosen: dict[str, Any] = {"id": ID, **selection(self.wanted)}
        return lambda offset: websocket_pages(self.exchange, request, {**chosen, "offset": offset}, events, size_bytes)


async def following(reader: Reader, start: Start, checkpoint: CheckpointStore | None) -> AsyncGenerator[Event, None]:
    """The events of a reader's pages; when those of a page were dealt with, the checkpoint is saved."""
    if checkpoint is not None and (offset := checkpoint.load()) is not None:
        start = Start(offset)
    async with contextlib.aclosing(reader.pages(start)) as pages:
        async for page in pages:
            for event in page.events:
                yield event
            if checkpoint is not None:
                checkpoint.save(page.next_offset)
