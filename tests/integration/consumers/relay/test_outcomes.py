"""Every row of the table of outcomes, as a receiver sees it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Message
from support.receiver import Answer, closes, garbage, never, receiver, status
from support.told import happened, records, told
from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")

FIVE = [0.05, 0.05, 0.05, 0.05]
"""A schedule of five attempts; the shorter one is its first four."""


async def kept(api: Api, name: str) -> bool:
    shown = await api.show(name)
    return bool(shown["state"] == "disabled" and shown["status"]["in_flight"] == 0)


ROWS: dict[str, tuple[Answer, int]] = {
    **{str(code): (status(code), 5) for code in (301, 304, 307, 408, 425, 429, 500, 501, 502, 503, 504)},
    **{str(code): (status(code), 4) for code in (400, 409, 413, 415, 422, 401, 403, 404, 418, 499)},
    "closes": (closes, 5),
    "garbage": (garbage, 5),
    "never": (never, 5),
    "abort": (status(500, {"webhook-delivery": "abort-message"}), 1),
    "abort-of-404": (status(404, {"webhook-delivery": "  Abort-Message "}), 1),
    "abort-among-others": (status(429, {"webhook-delivery": "other, abort-message"}), 1),
    "something-else": (status(500, {"webhook-delivery": "something-else"}), 5),
}
"""Answers, and how often an event that gets nothing else is tried."""


async def test_what_fails_is_tried_by_its_schedule_and_becomes_a_dead_letter(api: Api, log: Log) -> None:
    feed = log.feed()
    bad, *good = log.send(feed, 4)
    rows = {f"/hook/{name}": row for name, row in ROWS.items()}
    async with receiver() as receiving:
        receiving.choose = lambda d: rows[d.path][0] if d.id == bad else None
        names = {}
        for path in rows:
            # Far from what opens the breaker: this is about one event.
            options = {"offset": "-1", "retry_s": FIVE, "failures_to_open": 100}
            created = await api.create(feed, receiving.url.replace("/hook", path), **options)
            names[created["id"]] = path
        for name, path in names.items():
            wanted = {"lag": 0, "parked": 0, "failed": rows[path][1], "delivered": 3}
            await until(lambda: api.has(name, **wanted), 60)  # noqa: B023
        counts = Counter((delivery.path, delivery.id) for delivery in receiving.deliveries)
        for path, (_, attempts) in rows.items():
            assert [counts[path, event_id] for event_id in good] == [1, 1, 1], path
            # A kept connection that is closed may have been so before: the same attempt goes over a fresh one.
            most = 2 * attempts if path == "/hook/closes" else attempts
            assert attempts <= counts[path, bad] <= most, path
        letters = [dict(letter.headers() or []) for letter in await until(lambda: _letters(log, feed, len(rows)))]
        assert {letter["ce_id"] for letter in letters} == {bad.encode()}
        dead = {_text(letter, "ce_deadlettersubscription"): letter for letter in letters}
        assert {names[name]: int(_text(letter, "ce_deadletterattempts")) for name, letter in dead.items()} == {
            path: attempts for path, (_, attempts) in rows.items()
        }


async def _letters(log: Log, feed: str, count: int) -> list[Message] | None:
    found = await records(log.kafka, f"{feed}.dead")
    return found if len(found) >= count else None


def _text(headers: dict[str, Any], name: str) -> str:
    return str(headers[name].decode())


async def test_2xx_is_done(api: Api, log: Log) -> None:
    feed = log.feed()
    codes = [200, 201, 202, 204, 299]
    ids = log.send(feed, len(codes))
    async with receiver() as receiving:
        receiving.choose = lambda d: status(codes[ids.index(d.id)], {"webhook-delivery": "abort-message"})
        created = await api.create(feed, receiving.url, offset="-1")
        await until(lambda: api.has(created["id"], delivered=len(codes), lag=0, failed=0))
        assert sorted(receiving.ids) == sorted(ids)


async def test_a_redirect_is_not_followed(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving, receiver() as elsewhere:
        receiving.answer = status(308, {"Location": elsewhere.url})
        created = await api.create(feed, receiving.url)
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed)
        await until(lambda: len(receiving.ids) >= 3)
        assert elsewhere.ids == []
        assert (await api.status(created["id"]))["last_error"] == "answered 308"


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        (410, {}),
        (500, {"webhook-delivery": "disable"}),
        (400, {"webhook-delivery": "disable"}),
        (503, {"webhook-delivery": "Disable", "retry-after": "100"}),
    ],
)
async def test_an_endpoint_that_wants_no_more_is_disabled_and_keeps_its_position(
    api: Api, log: Log, code: int, headers: dict[str, str]
) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(code, headers)
        created = await api.create(feed, receiving.url, max_in_flight=1)
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        ids = log.send(feed, 10)
        await until(lambda: kept(api, name))
        assert len(receiving.ids) == 1, "it was sent to after it had said that it wants no more"
        shown = await api.show(name)
        assert str(code) in shown["reason"]
        assert shown["status"]["lag"] == 10
        await until(lambda: _disabled_told_once(log, name))
        last = (await told(log.kafka, "headrace.events", name))[-1]
        assert (last["event"], last["feed"], last["reason"]) == ("disabled", feed, shown["reason"])
        receiving.answer = status(204)
        await api.call("POST", f"/{name}/resume")
        await until(lambda: api.has(name, lag=0, parked=0))
        assert Counter(receiving.ids) == Counter([*ids, receiving.ids[0]])


async def _disabled_told_once(log: Log, name: str) -> bool:
    return (await happened(log.kafka, name)).count("disabled") == 1


async def test_disabled_after_a_success_the_event_is_done(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(200, {"webhook-delivery": "disable"})
        created = await api.create(feed, receiving.url, max_in_flight=1)
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        ids = log.send(feed, 3)
        await until(lambda: kept(api, name))
        assert len(receiving.ids) == 1
        receiving.answer = status(204)
        await api.call("POST", f"/{name}/resume")
        await until(lambda: api.has(name, lag=0))
        assert Counter(receiving.ids) == Counter(ids)


async def test_410_of_many_requests_at_once_is_told_once(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(410)
        created = await api.create(feed, receiving.url)
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed, 50)
        await until(lambda: kept(api, created["id"]))
        assert len(receiving.ids) <= 8
        await until(lambda: _disabled_told_once(log, created["id"]))


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_pauses_the_endpoint(api: Api, log: Log, code: int, form: str) -> None:
    feed = log.feed()
    until_then = datetime.now(UTC) + timedelta(seconds=3)
    value = "2" if form == "seconds" else format_datetime(until_then, usegmt=True)
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, max_in_flight=1)
        name = created["id"]
        ids = log.send(feed, 1)
        await until(lambda: api.has(name, delivered=1, lag=0))
        receiving.deliveries.clear()
        receiving.answer = status(code, {"retry-after": value})
        ids = log.send(feed, 20)
        await until(lambda: len(receiving.ids) == 1)
        receiving.answer = status(204)
        await until(lambda: _paused(api, name))
        # The event uses one of its attempts: else one that is always answered so would keep the others waiting.
        await until(lambda: api.has(name, parked=1, lag=20))
        assert await api.breaker(name) == "closed"
        await until(lambda: api.has(name, lag=0))
        first, second, *_ = receiving.deliveries
        # A date has no fractions of a second, so a pause by one is shorter by up to one.
        assert second.at_s - first.at_s >= (2.0 if form == "seconds" else 0.5)
        assert Counter(receiving.ids) == Counter([*ids, receiving.ids[0]])


async def _paused(api: Api, name: str) -> bool:
    return (await api.status(name))["breaker"]["paused_until"] is not None


async def test_retry_after_counts_on_429_and_503_only_and_only_where_it_is_valid(api: Api, log: Log) -> None:
    feed = log.feed()
    answers = [
        status(500, {"retry-after": "100"}),
        status(404, {"retry-after": "100"}),
        status(429, {"retry-after": "soon"}),
        status(503, {"retry-after": "-5"}),
        status(503, {"retry-after": "1.5"}),
    ]
    async with receiver() as receiving:
        ids = log.send(feed, len(answers))
        receiving.choose = lambda d: answers[ids.index(d.id)] if receiving.ids.count(d.id) == 1 else None
        created = await api.create(feed, receiving.url, offset="-1", max_in_flight=1)
        await until(lambda: api.has(created["id"], lag=0, parked=0))
        assert Counter(receiving.ids) == Counter([*ids, *ids])


@pytest.mark.parametrize("value", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_retry_after_of_no_time_is_an_attempt_like_any(api: Api, log: Log, value: str) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        bad = log.send(feed)[0]
        receiving.choose = lambda d: status(429, {"retry-after": value}) if d.id == bad else None
        created = await api.create(feed, receiving.url, offset="-1", retry_s=FIVE, failures_to_open=100)
        good = log.send(feed, 10)
        await until(lambda: api.has(created["id"], delivered=10, lag=0, parked=0))
        assert Counter(receiving.ids) == Counter({bad: 5, **dict.fromkeys(good, 1)})


async def test_a_pause_stops_one_endpoint_and_no_other_of_the_feed(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as waiting, receiver() as other:
        waiting.answer = status(429, {"retry-after": "3600"})
        paused = (await api.create(feed, waiting.url, max_in_flight=1))["id"]
        free = (await api.create(feed, other.url))["id"]
        await asyncio.gather(until(lambda: api.has(paused, lag=0)), until(lambda: api.has(free, lag=0)))
        ids = log.send(feed, 200)
        await until(lambda: api.has(free, delivered=200, lag=0))
        assert sorted(other.ids) == sorted(ids)
        assert len(waiting.ids) == 1
        await api.call("DELETE", f"/{paused}")
