"""Reading a page of a feed, and where a read begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.client.exchange import ANSWER_S, Answer, Exchange, Request
from headrace.client.feed import feed_path
from headrace.client.page import Page
from headrace.client.problems import FeedNotFound, HeadraceError
from headrace.client.wanted import Wanted, query

NDJSON = "application/x-ndjson"
BEGINNING = "-1"


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


async def pull(exchange: Exchange, feed: str, start: Start, wanted: Wanted, *, limit: int | None = None) -> Page:
    """One page, at once. Raises `FeedNotFound`, `OffsetGone`, `BadRequest`, `Unavailable`."""
    params = {**start.params(), **query(wanted), **query({"limit": limit})}
    return await ask_page(exchange, feed, params, None, ANSWER_S)


async def ask_page(
    exchange: Exchange, feed: str, params: dict[str, str], patience_s: float | None, silence_s: float
) -> Page:
    """The page that a query asks for; the gateway may say nothing for `silence_s`. Raises what `pull` does."""
    request = Request(
        "GET",
        f"{feed_path(feed)}/events",
        params=params,
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
