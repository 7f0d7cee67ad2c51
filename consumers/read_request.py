"""What a reader asks for: the query and headers of `GET /v1/feeds/{feed}/events`, checked."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from headrace.consumers.accept import best_coding, best_media_type
from headrace.consumers.compression import PAGE_CODINGS, STREAM_CODINGS
from headrace.consumers.core.feed_log import BEGINNING, TAIL, FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.parameters import choice, filter_of, is_number, number, time_ms, wrong
from headrace.consumers.selection import Selection
from headrace.durable.media_type import essence, is_json
from headrace.http.problems import Problem
from headrace.schemas.catalogue import Entry
from headrace.schemas.codec import AvroCodec
from headrace.settings import ServeSettings

JSON = "application/json"
NDJSON = "application/x-ndjson"
BATCH = "application/cloudevents-batch+json"
AVRO = "application/avro"
EVENT_STREAM = "text/event-stream"

ALIASES = {"application/ndjson": NDJSON, "avro/binary": AVRO}

PAGE_BYTES = 8 * 2**20
"""A page ends once it has so many bytes of records, however few they are."""
MOST_PARTITION = 2**31 - 1


class Live(enum.Enum):
    """How a reader waits for what is not there yet."""

    LONG_POLL = "long-poll"
    SSE = "sse"


class Slow(enum.Enum):
    """What becomes of a follower that takes less than it is sent, where it is not to get everything later."""

    CONFLATE = "conflate"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A checked request. `from_ms` is milliseconds since 1970 and goes before `offset`.

    `max_bytes` bounds the events of a page, before compression; None leaves it to `PAGE_BYTES`.
    """

    offset: str
    from_ms: int | None
    limit: int
    max_bytes: int | None
    selection: Selection
    live: Live | None
    slow: Slow | None
    media_type: str
    content_type: str
    coding: str | None
    cursor: int | None
    if_none_match: str | None

    async def position(self, feed_log: FeedLog) -> Position:
        """Where the reader starts. Raises `Problem` for a partition that the feed does not have."""
        await check_partition(self.selection, feed_log)
        if self.from_ms is not None:
            return await feed_log.at_time(self.from_ms)
        return await feed_log.resolve(self.offset)


async def check_partition(selection: Selection, feed_log: FeedLog) -> None:
    """Raise `Problem` 400 for a partition that the feed does not have."""
    partition = selection.partition
    if partition is not None and not await feed_log.has_partitions(partition + 1):
        raise wrong("partition", f"is a number from 0 to {len(feed_log.rings) - 1}, of those that the feed has")


def forms_of(entry: Entry) -> tuple[str, ...]:
    """The media types in which pages of a feed are to be had, the first one by default.

    A stream's own, with its parameters, is the first.
    """
    if isinstance(entry.codec, AvroCodec):
        return (JSON, NDJSON, BATCH, AVRO)
    if not entry.feed.is_stream:
        return (JSON, NDJSON, BATCH)
    own = entry.feed.media_type
    return (own, NDJSON, BATCH) if is_json(own) else (own, BATCH)


def parse(request: web.Request, settings: ServeSettings, forms: tuple[str, ...] = (JSON, NDJSON, BATCH)) -> ReadRequest:
    """The checked request, of a feed that is to be had in `forms`.

    Raises `Problem` (400, 406) that names the parameter.
    """
    query = request.query
    live = choice("live", query.get("live"), Live)
    media_type = _media_type(request, live, tuple(map(essence, forms)))
    plain_event_source = media_type == EVENT_STREAM and live is None
    if media_type == EVENT_STREAM:
        live = Live.SSE
    offset = query.get("offset")
    if live is Live.SSE and (last := request.headers.get("Last-Event-ID")):
        offset = last
    if query.getall("offset", [])[1:]:
        raise wrong("offset", "given more than once")
    if offset == "":
        raise wrong("offset", "is empty; use -1, now, or a Stream-Next-Offset")
    if live is not None and offset is None and "from" not in query:
        if not plain_event_source:
            raise wrong("offset", "is required with live; use -1, now, or a Stream-Next-Offset")
        offset = TAIL
    return ReadRequest(
        offset=offset or BEGINNING,
        # A token of an earlier answer goes on from there, whatever time the first request named.
        from_ms=time_ms("from", query.get("from")) if offset is None else None,
        limit=number("limit", query.get("limit"), settings.page_events, settings.max_page_events),
        max_bytes=number("max_bytes", query.get("max_bytes"), PAGE_BYTES, PAGE_BYTES) if "max_bytes" in query else None,
        selection=_selection(request),
        live=live,
        slow=_slow(request, live),
        media_type=media_type,
        content_type=forms[0] if media_type == essence(forms[0]) else media_type,
        coding=_coding(request, live),
        cursor=_cursor(query.get("cursor")),
        if_none_match=request.headers.get("If-None-Match"),
    )


def _selection(request: web.Request) -> Selection:
    query = request.query
    for name in ("partition", "key", "filter"):
        if query.getall(name, [])[1:]:
            raise wrong(name, "given more than once")
    return Selection(
        partition=number("partition", query["partition"], 0, MOST_PARTITION, 0) if "partition" in query else None,
        key=query.get("key"),
        filter=filter_of("filter", query.get("filter")),
    )


def _slow(request: web.Request, live: Live | None) -> Slow | None:
    slow = choice("slow", request.query.get("slow"), Slow)
    if slow is not None and live is not Live.SSE:
        raise wrong("slow", "is for server-sent events: who pulls is never too slow")
    return slow


def _media_type(request: web.Request, live: Live | None, pages: tuple[str, ...]) -> str:
    accept = ",".join(request.headers.getall("Accept", []))
    for alias, name in ALIASES.items():
        accept = accept.replace(alias, name)
    if live is Live.SSE:
        # Whoever names the mode by `live` has said enough: it need not say it again, only not refuse it.
        offered: tuple[str, ...] = (EVENT_STREAM, pages[0], JSON, NDJSON)
    else:
        offered = pages if live is Live.LONG_POLL else (*pages, EVENT_STREAM)
    best = best_media_type(accept, offered)
    if best is None:
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, f"Accept: to be had are {', '.join(offered)}.")
    return EVENT_STREAM if live is Live.SSE else best


def _coding(request: web.Request, live: Live | None) -> str | None:
    codings = STREAM_CODINGS if live is Live.SSE else PAGE_CODINGS
    return best_coding(",".join(request.headers.getall("Accept-Encoding", [])), codings)


def _cursor(text: str | None) -> int | None:
    return int(text) if text and is_number(text) else None
