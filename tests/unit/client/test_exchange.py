"""The client against gateways that misbehave as real ones do now and then."""

from __future__ import annotations

import time

import pytest
from aiohttp import web
from support.answering import Handler, answering, cut_off

from headrace.client import Client, HeadraceError, Page, ServerError, Unavailable, Unreachable
from headrace.client.patience import MAX_BACKOFF_S, backoff_s
from headrace.client.problems import retry_after_s


async def feeds(request: web.Request) -> web.StreamResponse:
    return web.json_response({"feeds": []})


async def unavailable(request: web.Request) -> web.StreamResponse:
    body = {"status": 503, "detail": "Kafka does not answer."}
    return web.json_response(body, status=503, content_type="application/problem+json", headers={"Retry-After": "1"})


def page(lines: bytes, next_offset: str, **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(
            status=200 if lines else 204,
            body=lines,
            headers={"Stream-Next-Offset": next_offset, "Content-Type": "application/x-ndjson", **named},
        )

    return answer


def half(lines: bytes) -> Handler:
    """An answer that breaks off in the middle."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Stream-Next-Offset": "half", "Content-Type": "application/x-ndjson"})
        response.content_length = 2 * len(lines)
        await response.prepare(request)
        await response.write(lines)
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


async def test_a_gateway_that_says_when_to_come_again_is_not_asked_before() -> None:
    async with answering(unavailable, feeds) as (url, requests), Client(url) as client:
        started = time.monotonic()
        assert await client.feeds() == []
        assert time.monotonic() - started >= 1.0
    assert len(requests) == 2


async def test_patience_has_an_end_and_the_last_error_says_why() -> None:
    async with answering(unavailable) as (url, requests), Client(url, patience_s=0.5) as client:
        with pytest.raises(Unavailable, match="Kafka does not answer") as error:
            await client.feeds()
    assert error.value.status == 503
    assert error.value.retry_after_s == 1.0
    assert len(requests) == 1


async def test_a_dropped_connection_is_asked_again() -> None:
    async with answering(cut_off, cut_off, cut_off, feeds) as (url, _), Client(url) as client:
        assert await client.feeds() == []


async def test_a_fault_of_the_gateway_is_told_at_once() -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="oops")

    async with answering(broken, feeds) as (url, requests), Client(url) as client:
        with pytest.raises(ServerError):
            await client.feeds()
    assert len(requests) == 1


async def test_a_server_that_is_no_gateway_is_told_as_such() -> None:
    async def hello(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<h1>Hello</h1>", content_type="text/html")

    async def nothing(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text="nothing here")

    async with answering(hello, nothing) as (url, _), Client(url) as client:
        with pytest.raises(HeadraceError, match="Headrace gateway"):
            await client.pull("feed")
        with pytest.raises(HeadraceError, match="Headrace gateway"):
            await client.feed("feed")


async def test_half_a_page_is_never_given_and_the_whole_is_asked_for_again() -> None:
    lines = b'{"id":"1"}\n{"id":"2"}\n'
    handlers = (page(b'{"id":"0"}\n', "A"), half(lines), page(lines, "B", Stream_Up_To_Date="true"))
    async with answering(*handlers) as (url, requests), Client(url) as client:
        pages = [page async for page in client.read("feed")]
    assert [event.id for page in pages for event in page.events] == ["0", "1", "2"]
    assert [request.query["offset"] for request in requests] == ["-1", "A", "A"]


async def test_a_follower_polls_from_the_tail_with_the_cursor_it_was_given() -> None:
    tail = page(b'{"id":"0"}\n', "A", Stream_Up_To_Date="true", Stream_Cursor="41")
    live = page(b'{"id":"1"}\n', "B", Stream_Cursor="42")
    more = page(b'{"id":"2"}\n', "C", Stream_Up_To_Date="true")
    async with answering(tail, live, more) as (url, requests), Client(url) as client:
        pages = [page async for page in client.read("feed", follow=True, max_events=3)]
    assert [page.next_offset for page in pages] == ["A", "B", "C"]
    asked = [(r.query["offset"], r.query.get("live"), r.query.get("cursor")) for r in requests]
    # What is behind the tail again catches up before it waits again.
    assert asked == [("-1", None, None), ("A", "long-poll", "41"), ("B", None, None)]


async def test_a_gateway_that_does_not_let_wait_is_not_asked_at_full_speed() -> None:
    tail = page(b"", "A", Stream_Up_To_Date="true")
    event = page(b'{"id":"1"}\n', "B", Stream_Up_To_Date="true")
    async with answering(tail, tail, tail, tail, event) as (url, _), Client(url) as client:
        started = time.monotonic()
        pages: list[Page] = [page async for page in client.read("feed", follow=True, max_events=1)]
        took_s = time.monotonic() - started
    assert [page.next_offset for page in pages] == ["A", "B"]
    assert took_s >= 0.05 + 0.1 + 0.2


async def test_a_subscription_is_not_created_twice_by_a_broken_connection() -> None:
    async with answering(cut_off) as (url, requests), Client(url) as client:
        with pytest.raises(Unavailable):
            await client.subscriptions.create("feed", "http://127.0.0.1:9000/")
    assert len(requests) == 1
    async with Client(url, patience_s=0.3) as client:
        started = time.monotonic()
        with pytest.raises(Unreachable, match="Connection refused"):
            await client.subscriptions.create("feed", "http://127.0.0.1:9000/")
        assert time.monotonic() - started > 0.05  # nothing was sent, so it was tried again


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", ""])
def test_what_is_no_url_of_a_gateway_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of a gateway"):
        Client(url)


def test_backoff_grows_and_has_a_bound() -> None:
    for failures in range(100):
        longest_s = min(0.1 * 2**failures, MAX_BACKOFF_S)
        assert longest_s / 2 <= backoff_s(failures) <= longest_s


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_s("7") == 7.0
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_s("Wed, 21 Oct 2099 07:28:00 GMT") > 1e6
    assert retry_after_s("soon") == retry_after_s(None) == 0.0
