"""Following by server-sent events a gateway whose connections end in every way."""

from __future__ import annotations

import contextlib
import time

import orjson
import pytest
from aiohttp import web
from support.answering import Handler, answering, told

from headrace.client import Client, OffsetGone, Page


async def tail(request: web.Request) -> web.StreamResponse:
    """A page with nothing on it, at the end of the feed."""
    headers = {"Stream-Next-Offset": "A", "Stream-Up-To-Date": "true", "Content-Type": "application/x-ndjson"}
    return web.Response(headers=headers)


def data(offset: str, *ids: str) -> bytes:
    events = orjson.dumps([{"id": one} for one in ids])
    return b"id: %s\nevent: data\ndata: %s\n\n" % (offset.encode(), events)


def control(offset: str, *, up_to_date: bool = True) -> bytes:
    said = {"streamNextOffset": offset, **({"upToDate": True} if up_to_date else {})}
    return b"event: control\ndata: %s\n\n" % orjson.dumps(said)


def stream(*chunks: bytes) -> Handler:
    """A connection that ends after these."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Connection": "close"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return response

    return answer


async def followed(client: Client, count: int) -> list[Page]:
    """The first pages."""
    found: list[Page] = []
    async with contextlib.aclosing(client.read("feed", follow=True, transport="sse")) as pages:
        async for page in pages:
            found.append(page)
            if len(found) == count:
                break
    return found


async def test_what_broke_off_is_never_given_and_the_whole_is_asked_for_again() -> None:
    whole, half = data("B", "1", "2"), data("B", "1", "2")[:-10]
    handlers = (tail, stream(b"retry: 1000\n\n:\n\n", half), stream(whole), stream(whole, control("B")))
    async with answering(*handlers) as (url, requests), Client(url) as client:
        pages = await followed(client, 2)
    assert [[event.id for event in page.events] for page in pages] == [[], ["1", "2"]]
    assert [page.next_offset for page in pages] == ["A", "B"]
    assert [request.query["offset"] for request in requests] == ["-1", "A", "A", "A"]
    assert [request.query.get("live") for request in requests] == [None, "sse", "sse", "sse"]


async def test_a_chunk_comes_in_pieces_and_a_position_without_events_counts() -> None:
    text = data("B", "1") + control("B", up_to_date=False) + control("C") + control("C")
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    async with answering(tail, stream(*pieces)) as (url, _), Client(url) as client:
        pages = await followed(client, 3)
    assert [(len(page), page.next_offset, page.up_to_date) for page in pages] == [
        (0, "A", True),
        (1, "B", False),
        (0, "C", True),
    ]


async def test_connections_that_end_at_once_are_not_made_at_full_speed() -> None:
    last = stream(data("B", "1"), control("B"))
    async with answering(tail, stream(), stream(), stream(), last) as (url, _), Client(url) as client:
        started = time.monotonic()
        await followed(client, 2)
        assert time.monotonic() - started >= 0.05 + 0.1 + 0.2


async def test_what_is_gone_meanwhile_is_told() -> None:
    gone = told({"detail": "no longer kept", "earliest_offset": "Z"}, status=410)
    async with answering(tail, stream(data("B", "1"), control("B")), gone) as (url, _), Client(url) as client:
        with pytest.raises(OffsetGone, match="no longer kept") as raised:
            await followed(client, 3)
    assert raised.value.earliest_offset == "Z"
