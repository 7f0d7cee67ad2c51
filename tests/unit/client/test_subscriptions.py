"""What the client asks of the subscriptions API, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from support.answering import answering, cut_off, told

from headrace.client import Attempt, Client, HeadraceError, PreconditionFailed, Unavailable

SUBSCRIPTION: dict[str, Any] = {
    "id": "sub_1",
    "feed": "flights",
    "url": "http://127.0.0.1:9000/",
    "mode": "webhook",
    "state": "active",
    "reason": "",
    "ordering": "none",
    "description": "",
    "labels": {"team": "ops"},
    "start": "A",
    "created": "2026-11-24T09:00:00Z",
    "updated": "2026-11-24T09:00:00Z",
}
NINE = datetime(2026, 11, 24, 9, tzinfo=UTC)


def attempt(number: int) -> dict[str, Any]:
    return {
        "subscription": "sub_1",
        "feed": "flights",
        "event_id": f"evt-{number}",
        "partition": 0,
        "offset": number,
        "attempt": 1,
        "at": "2026-11-24T09:00:00Z",
        "outcome": "retry",
        "status": 500,
        "error_class": "status",
        "error": "answered 500",
        "seconds": {"dns": 0.0, "connect": 0.001, "tls": 0.0, "first_byte": 0.002, "total": 0.004},
        "answer": "oops",
        "next_attempt": "2026-11-24T09:00:05Z",
    }


def attempts(*numbers: int, next_offset: str) -> dict[str, Any]:
    return {"attempts": [attempt(number) for number in numbers], "next_offset": next_offset}


async def test_a_list_is_read_over_all_its_pages_with_its_filters() -> None:
    first = told({"subscriptions": [SUBSCRIPTION], "next_cursor": "C"})
    last = told({"subscriptions": [{**SUBSCRIPTION, "id": "sub_2"}]})
    async with answering(first, last) as (url, requests), Client(url) as client:
        found = await client.subscriptions.list(feed="flights", state="active", labels={"team": "ops"})
    assert [one.id for one in found] == ["sub_1", "sub_2"]
    assert found[0].labels == {"team": "ops"}
    filters = {"feed": "flights", "state": "active", "label.team": "ops", "limit": "1000"}
    assert [dict(request.query) for request in requests] == [filters, {**filters, "cursor": "C"}]


async def test_a_change_under_an_etag_says_so_and_is_not_made_twice() -> None:
    changed = told(SUBSCRIPTION, ETag='"2"')
    async with answering(cut_off, changed) as (url, requests), Client(url) as client:
        with pytest.raises(Unavailable):
            await client.subscriptions.update("sub_1", {"rate_limit_per_s": 5}, etag='"1"')
    [request] = requests
    assert (request.method, request.path) == ("PATCH", "/v1/subscriptions/sub_1")
    assert request.headers["If-Match"] == '"1"'
    assert orjson.loads(await request.read()) == {"rate_limit_per_s": 5}
    async with answering(cut_off, changed) as (url, requests), Client(url) as client:
        # Without one, the same change twice is the same.
        assert (await client.subscriptions.update("sub_1", {"labels": {"team": None}})).etag == '"2"'
    assert len(requests) == 2
    assert "If-Match" not in requests[0].headers


async def test_a_change_that_comes_too_late_is_an_error_of_its_own() -> None:
    refused = told({"detail": "Somebody has changed it since: read it again."}, 412)
    async with answering(refused) as (url, _), Client(url) as client:
        with pytest.raises(PreconditionFailed, match="read it again"):
            await client.subscriptions.update("sub_1", {"filter": None}, etag='"1"')


async def test_what_must_not_happen_twice_is_not_asked_again() -> None:
    async with answering(cut_off) as (url, requests), Client(url) as client:
        subscriptions = client.subscriptions
        for call in (
            subscriptions.resume("sub_1", from_now=True),
            subscriptions.rotate_secret("sub_1"),
            subscriptions.redeliver_event("sub_1", 0, 17),
            subscriptions.test("sub_1"),
        ):
            with pytest.raises(Unavailable):
                await call
    assert [request.path.rpartition("/")[2] for request in requests] == ["resume", "rotate", "redeliver", "test"]


async def test_what_is_pushed_once_more_is_one_event_the_dead_letters_or_a_range() -> None:
    async with answering(told({"events": 3}, 202)) as (url, requests), Client(url) as client:
        subscriptions = client.subscriptions
        assert await subscriptions.redeliver_event("sub/1", 0, 17) == 3
        await subscriptions.redeliver_dead_letters("sub/1")
        await subscriptions.redeliver_dead_letters("sub/1", from_time=NINE)
        await subscriptions.redeliver_range("sub/1", offset="A", to_time=NINE)
        await subscriptions.redeliver_range("sub/1", from_time=NINE)
        with pytest.raises(ValueError, match="UTC"):
            await subscriptions.redeliver_range("sub/1", offset="A", to_time=NINE.replace(tzinfo=None))
    bodies = [orjson.loads(await request.read()) for request in requests]
    assert bodies == [
        {"partition": 0, "offset": 17},
        {"dead_letters": True},
        {"dead_letters": True, "from": "2026-11-24T09:00:00+00:00"},
        {"offset": "A", "to": "2026-11-24T09:00:00+00:00"},
        {"from": "2026-11-24T09:00:00+00:00"},
    ]
    assert {request.raw_path for request in requests} == {"/v1/subscriptions/sub%2F1/redeliver"}


async def test_what_was_not_delivered_is_typed() -> None:
    body = {
        "offset": "A",
        "lag": 7,
        "parked": [{"partition": 0, "offset": 3, "attempt": 2, "next_attempt": "2026-11-24T09:00:05Z"}],
        "dead_letters": [
            {"event_id": "e", "partition": 1, "offset": 4, "reason": "refused", "attempts": 10, "at": "2026-11-24T08Z"}
        ],
    }
    async with answering(told(body)) as (url, requests), Client(url) as client:
        found = await client.subscriptions.undelivered("sub_1", from_time=NINE)
        await client.subscriptions.undelivered("sub_1")
    assert (found.offset, found.lag, found.raw) == ("A", 7, body)
    assert [(p.partition, p.offset, p.attempt) for p in found.parked] == [(0, 3, 2)]
    assert [(d.event_id, d.partition, d.offset, d.reason, d.attempts) for d in found.dead_letters] == [
        ("e", 1, 4, "refused", 10)
    ]
    assert [dict(request.query) for request in requests] == [{"from": "2026-11-24T09:00:00+00:00"}, {}]


async def test_attempts_are_read_to_the_tail_also_over_pages_in_which_none_fits() -> None:
    pages = (
        told(attempts(1, 2, next_offset="A")),
        told(attempts(next_offset="B")),
        told(attempts(3, next_offset="C"), Stream_Up_To_Date="true"),
    )
    async with answering(*pages) as (url, requests), Client(url) as client:
        found = [a async for a in client.subscriptions.attempts("sub_1", outcome="retry", event_id="evt")]
    assert [a.offset for a in found] == [1, 2, 3]
    assert found[0] == Attempt.of(attempt(1))
    assert (found[0].status, found[0].seconds["total"], found[0].error) == (500, 0.004, "answered 500")
    asked = [(r.query["offset"], r.query["outcome"], r.query["event_id"]) for r in requests]
    assert asked == [("-1", "retry", "evt"), ("A", "retry", "evt"), ("B", "retry", "evt")]


async def test_attempts_also_end_where_the_position_moves_no_more() -> None:
    pages = (told(attempts(1, next_offset="A")), told(attempts(next_offset="A")))
    async with answering(*pages) as (url, requests), Client(url) as client:
        found = [a.offset async for a in client.subscriptions.attempts("sub_1", from_time=NINE)]
    assert (found, len(requests)) == ([1], 2)
    assert requests[0].query["from"] == "2026-11-24T09:00:00+00:00"


async def test_a_follower_of_attempts_waits_at_the_tail_and_ends_after_as_many_as_it_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    tail = told(attempts(1, next_offset="A"), Stream_Up_To_Date="true")
    nothing = told(attempts(next_offset="A"), Stream_Up_To_Date="true")
    more = told(attempts(2, next_offset="B"), Stream_Up_To_Date="true")
    async with answering(tail, nothing, more) as (url, requests), Client(url) as client:
        monkeypatch.setattr(asyncio, "sleep", wait)
        following = client.subscriptions.attempts("sub_1", follow=True, max_attempts=2)
        assert [a.offset async for a in following] == [1, 2]
    assert waits[:2] == [1.0, 1.0]
    assert [(r.query["offset"], r.query["limit"]) for r in requests] == [("-1", "2"), ("A", "1"), ("A", "1")]


async def test_a_page_is_pulled_and_the_position_after_it_acknowledged() -> None:
    events = told([{"id": "1", "data": {"n": 1}}, {"id": "2"}], Stream_Next_Offset="B")
    nothing = told([], Stream_Next_Offset="B", Stream_Up_To_Date="true")
    async with answering(events, told({}), nothing) as (url, requests), Client(url) as client:
        page = await client.subscriptions.pull("sub_1", limit=10)
        await client.subscriptions.ack("sub_1", page.next_offset)
        rest = await client.subscriptions.pull("sub_1")
    assert ([event.id for event in page.events], len(page), page.up_to_date) == (["1", "2"], 2, False)
    assert page.events[0].data == {"n": 1}
    assert (rest.events, rest.up_to_date) == ([], True)
    assert [(r.method, r.path_qs) for r in requests] == [
        ("GET", "/v1/subscriptions/sub_1/events?limit=10"),
        ("POST", "/v1/subscriptions/sub_1/ack"),
        ("GET", "/v1/subscriptions/sub_1/events"),
    ]
    assert orjson.loads(await requests[1].read()) == {"offset": "B"}


async def test_what_is_no_page_is_told_as_such() -> None:
    async with answering(told({"hello": "world"})) as (url, _), Client(url) as client:
        with pytest.raises(HeadraceError, match="Headrace gateway"):
            await client.subscriptions.pull("sub_1")


async def test_a_secret_is_not_in_what_is_logged_of_a_subscription() -> None:
    async with answering(told({**SUBSCRIPTION, "secret": "whsec_hidden"}, 201)) as (url, _), Client(url) as client:
        made = await client.subscriptions.create("flights", "http://127.0.0.1:9000/")
    assert made.secret == "whsec_hidden"
    assert "hidden" not in repr(made)
