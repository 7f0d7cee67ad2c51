"""The feed `headrace.attempts`: every attempt is in it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.receiver import after, closes, receiver, status
from support.told import told
from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")

ATTEMPTS = "headrace.attempts"


async def attempts(log: Log, name: str, count: int) -> list[dict[str, Any]]:
    async def enough() -> list[dict[str, Any]] | None:
        found = await told(log.kafka, ATTEMPTS, name)
        return found if len(found) >= count else None

    return await until(enough)


async def test_every_attempt_is_told_with_its_number_and_when_the_next_is_due(api: Api, log: Log) -> None:
    feed = log.feed()
    log.topic(f"{feed}.dead")
    async with receiver() as receiving:
        receiving.answer = status(500, body=b"what was wrong")
        created = await api.create(feed, receiving.url, retry_s=[0.2, 0.4], failures_to_open=100)
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        (event_id,) = log.send(feed)
        found = await attempts(log, name, 3)
        await until(lambda: api.has(name, lag=0, parked=0))
        assert len(receiving.ids) == len(found) == 3
        assert [attempt["attempt"] for attempt in found] == [1, 2, 3]
        assert [attempt["outcome"] for attempt in found] == ["retry", "retry", "dead_letter"]
        for attempt in found:
            assert (attempt["subscription"], attempt["feed"], attempt["event_id"]) == (name, feed, event_id)
            assert (attempt["partition"], attempt["offset"], attempt["status"]) == (0, 0, 500)
            assert (attempt["error_class"], attempt["error"]) == ("status", "answered 500")
            assert attempt["answer"] == "what was wrong"
        waits = [
            (datetime.fromisoformat(a["next_attempt"]) - datetime.fromisoformat(a["at"])).total_seconds()
            for a in found[:2]
        ]
        # Each ±20 %, and `at` is written a moment after the wait began.
        assert 0.1 <= waits[0] <= 0.25
        assert 0.26 <= waits[1] <= 0.49
        assert found[2]["next_attempt"] is None


async def test_a_success_tells_how_long_each_phase_took(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = after(0.1, status(200, body=b"thanks"))
        created = await api.create(feed, receiving.url, max_in_flight=1)
        await until(lambda: api.has(created["id"], lag=0))
        ids = log.send(feed, 2)
        first, second = await attempts(log, created["id"], 2)
        assert [first["event_id"], second["event_id"]] == ids
        assert (first["status"], first["outcome"], first["answer"]) == (200, "done", "thanks")
        assert (first["error_class"], first["error"], first["next_attempt"]) == (None, None, None)
        assert set(first["seconds"]) == {"dns", "connect", "tls", "first_byte", "total"}
        assert first["seconds"]["connect"] > 0
        assert second["seconds"]["connect"] == 0, "the connection was kept"
        assert first["seconds"]["total"] >= first["seconds"]["first_byte"] >= 0.1


async def test_an_attempt_without_an_answer_has_the_class_of_its_error(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = closes
        created = await api.create(feed, receiving.url, failures_to_open=100)
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed)
        first = (await attempts(log, created["id"], 1))[0]
        assert (first["status"], first["answer"], first["outcome"]) == (None, "", "retry")
        assert first["error_class"]
        assert first["error"]


async def test_of_an_answer_the_first_4_kb_are_kept(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(400, body=b"a" * 4000 + b"\xff\xfe" + b"b" * 10_000)
        created = await api.create(feed, receiving.url, failures_to_open=100)
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed)
        answer = (await attempts(log, created["id"], 1))[0]["answer"]
        assert answer == "a" * 4000 + "\ufffd\ufffd" + "b" * 94


async def test_of_an_endpoint_that_fails_the_next_attempt_is_the_next_probe(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url, failures_to_open=1, max_in_flight=1)
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed)
        found = await attempts(log, created["id"], 3)
        assert [attempt["attempt"] for attempt in found[:3]] == [1, 1, 1]
        for attempt in found[:3]:
            assert datetime.fromisoformat(attempt["next_attempt"]) > datetime.fromisoformat(attempt["at"])


async def test_a_batch_that_fails_by_the_endpoints_fault_is_one_attempt_however_many_events_it_holds(
    api: Api, log: Log
) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(503)
        batch = {"max_events": 20, "max_wait_ms": 500}
        created = await api.create(feed, receiving.url, batch=batch, failures_to_open=1, max_in_flight=1)
        await until(lambda: api.has(created["id"], lag=0))
        ids = log.send(feed, 20)
        await until(lambda: len(receiving.deliveries) >= 3)
        receiving.answer = status(204)
        await until(lambda: api.has(created["id"], lag=0, delivered=20))
        requests = len(receiving.deliveries)
        found = await attempts(log, created["id"], requests - 1 + 20)
        failed = [attempt for attempt in found if attempt["status"] == 503]
        assert len(failed) == requests - 1
        assert sorted(attempt["event_id"] for attempt in found if attempt["status"] == 204) == sorted(ids)


async def test_a_disabled_subscription_has_no_next_attempt(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(410)
        created = await api.create(feed, receiving.url)
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed)
        (attempt,) = await attempts(log, created["id"], 1)
        assert (attempt["outcome"], attempt["next_attempt"]) == ("disable", None)


async def test_a_subscription_to_the_attempts_gets_failures_and_does_not_feed_itself(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving, receiver() as watching:
        receiving.choose = lambda d: status(500) if receiving.ids.count(d.id) == 1 else None
        events = await api.create(feed, receiving.url)
        watch = await api.create(ATTEMPTS, watching.url, filter=f"data.subscription == '{events['id']}'")
        everything = await api.create(ATTEMPTS, watching.url + "/all")
        for created in (events, watch, everything):
            await until(lambda: api.has(created["id"], lag=0))  # noqa: B023
        ids = log.send(feed, 5)
        await until(lambda: api.has(events["id"], delivered=5))
        await until(lambda: api.has(watch["id"], delivered=10, lag=0))

        def failures() -> list[str]:
            heard = [d.data for d in watching.deliveries if d.data["subscription"] == events["id"]]
            return sorted(a["event_id"] for a in heard if a["outcome"] == "retry")

        await until(lambda: failures() == sorted(ids * 2))
        # Whatever it were told of its own deliveries would have come by now: it has caught up, and stays so.
        await until(lambda: api.has(everything["id"], lag=0))
        assert await told(log.kafka, ATTEMPTS, watch["id"]) == []
        assert await told(log.kafka, ATTEMPTS, everything["id"]) == []
        for created in (watch, everything):
            await api.call("DELETE", f"/{created['id']}")


async def test_each_event_of_a_batch_has_its_attempt(api: Api, log: Log) -> None:
    feed = log.feed()
    ids = log.send(feed, 4)
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, offset="-1", batch={"max_events": 4, "max_wait_ms": 2000})
        found = await attempts(log, created["id"], 4)
        assert [attempt["event_id"] for attempt in found] == ids
        assert len(receiving.deliveries) == 1
