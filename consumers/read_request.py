"""What a reader asks for: the query and headers of `GET /v1/feeds/{feed}/events`, checked."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from aiohttp import web

from headrace.consumers.core.feed_log import BEGINNING, FeedLog
from headrace.consumers.core.position import Position
from headrace.http.problems import Problem
from headrace.settings import ServeSettings

JSON = "application/json"
NDJSON = "application/x-ndjson"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_DIGITS = 18


class Live(enum.Enum):
    """How a reader waits for what is not there yet."""

    LONG_POLL = "long-poll"
    SSE = "sse"


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A checked request. `from_ms` is milliseconds since 1970 and goes before `offset`."""

    offset: str
    from_ms: int | None
    limit: int
    live: Live | None
    media_type: str
    cursor: int | None
    if_none_match: str | None

    async def position(self, feed_log: FeedLog) -> Position:
        """Where the reader starts."""
        if self.from_ms is not None:
            return await feed_log.at_time(self.from_ms)
        return await feed_log.resolve(self.offset)


def parse(request: web.Request, settings: ServeSettings) -> ReadRequest:
    """The checked request; raises `Problem` (400, 406) that names the parameter."""
    query = request.query
    live = _live(query.get("live"))
    offset = query.get("offset")
    if live is Live.SSE and (last := request.headers.get("Last-Event-ID")):
        offset = last
    if query.getall("offset", [])[1:]:
        raise _bad("offset", "given more than once")
    if offset == "":
        raise _bad("offset", "is empty; use -1, now, or a Stream-Next-Offset")
    if live is not None and offset is None and "from" not in query:
        raise _bad("offset", "is required with live; use -1, now, or a Stream-Next-Offset")
    return ReadRequest(
        offset=offset or BEGINNING,
        # A token of an earlier answer goes on from there, whatever time the first request named.
        from_ms=_time(query.get("from")) if offset is None else None,
        limit=_number("limit", query.get("limit"), settings.page_events, settings.max_page_events),
        live=live,
        media_type=_media_type(request.headers.get("Accept", "*/*")),
        cursor=_cursor(query.get("cursor")),
        if_none_match=request.headers.get("If-None-Match"),
    )


def _live(text: str | None) -> Live | None:
    if text is None:
        return None
    try:
        return Live(text)
    except ValueError:
        raise _bad("live", "is long-poll or sse") from None


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise _bad("from", "is an RFC 3339 time such as 2013-01-01T05:00:00Z") from None
    if moment.tzinfo is None:
        raise _bad("from", "needs its offset from UTC, such as Z")
    # Rounded up, so that nothing is older than what was asked for. Kafka has other uses for negative times.
    return max(0, -((EPOCH - moment) // timedelta(milliseconds=1)))


def _number(name: str, text: str | None, default: int, most: int) -> int:
    if text is None:
        return default
    if not _is_number(text) or not 1 <= int(text) <= most:
        raise _bad(name, f"is a number from 1 to {most}")
    return int(text)


def _cursor(text: str | None) -> int | None:
    return int(text) if text and _is_number(text) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _media_type(accept: str) -> str:
    for wanted in accept.split(","):
        kind = wanted.split(";")[0].strip().lower()
        if kind in (NDJSON, "application/ndjson"):
            return NDJSON
        if kind in (JSON, "application/*", "*/*", "text/event-stream", ""):
            return JSON
    raise Problem(HTTPStatus.NOT_ACCEPTABLE, f"Accept: {JSON}, {NDJSON} and text/event-stream are to be had.")


def _bad(name: str, detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"{name} {detail}.", parameter=name)
