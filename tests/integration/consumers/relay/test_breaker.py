"""The breaker of an endpoint: it opens, the position waits, a probe closes it, and everybody can see it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from support.receiver import Answer, Delivery, receiver, status
from support.told import happened, records, told
from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")

OPEN = 2.0
CLOSED = 0.0


async def is_open(api: Api, name: str) -> bool:
    return await api.breaker(name) in ("open", "half_open")


def shown(name: str, feed: str) -> float | None:
    return REGISTRY.get_sample_value("headrace_relay_breaker_state", {"subscription": name, "feed": feed})


async def test_a_dead_endpoint_costs_a_number_and_is_caught_up_in_order_when_it_is_back(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url, ordering="key", failures_to_open=5, max_in_flight=1)
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        ids = log.send(feed, 300, key="one")
        await until(lambda: is_open(api, name))
        tried = len(receiving.deliveries)
        ids += log.send(feed, 300, key="one")
        await until(lambda: len(receiving.deliveries) >= tried + 3)
        found = await api.status(name)
        assert found["parked"] <= 5
        assert found["lag"] == 600
        assert found["breaker"]["failing_since"]
        assert set(receiving.ids) == {ids[0]}
        receiving.deliveries.clear()
        receiving.answer = status(204)
        await until(lambda: api.has(name, lag=0, parked=0, delivered=600))
        assert await api.breaker(name) == "closed"
        assert (await api.status(name))["breaker"]["failing_since"] is None
        assert [event_id for event_id in receiving.ids if event_id in set(ids)] == ids


async def test_waiting_events_keep_their_attempts_while_it_is_open(api: Api, log: Log) -> None:
    """Each may be tried twice, and the endpoint fails far more often than that: none becomes a dead letter."""
    feed = log.feed()
    log.topic(f"{feed}.dead")
    async with receiver() as receiving:
        receiving.answer = status(503)
        created = await api.create(feed, receiving.url, failures_to_open=4, retry_s=[0.05], max_in_flight=1)
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        ids = log.send(feed, 40)
        await until(lambda: is_open(api, name))
        parked = (await api.status(name))["parked"]
        assert parked <= 4
        await until(lambda: len(receiving.deliveries) >= 12)
        assert (await api.status(name))["parked"] == parked
        numbers = [attempt["attempt"] for attempt in await told(log.kafka, "headrace.attempts", name)]
        assert max(numbers) <= 2
        receiving.answer = status(204)
        await until(lambda: api.has(name, lag=0, parked=0))
        # Those that failed before it opened may have had their second attempt; nobody else has used up his.
        dead = await records(log.kafka, f"{feed}.dead")
        assert len(dead) <= 4
        assert (await api.status(name))["delivered"] == 40 - len(dead)
        assert set(receiving.ids) == set(ids)


async def test_its_state_is_a_metric_and_its_changes_are_events(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url, failures_to_open=3)
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        await until(lambda: shown(name, feed) == CLOSED)
        log.send(feed, 10)
        await until(lambda: is_open(api, name))
        await until(lambda: shown(name, feed) in (1.0, OPEN))
        await until(lambda: _told_of(log, name, ["breaker_opened"]))
        receiving.answer = status(204)
        await until(lambda: api.has(name, lag=0))
        await until(lambda: _told_of(log, name, ["breaker_opened", "breaker_closed"]))
        await until(lambda: shown(name, feed) == CLOSED)
        (opened, _) = await told(log.kafka, "headrace.events", name)
        assert (opened["subscription"], opened["feed"], opened["reason"]) == (name, feed, "answered 500")
        changes = {"feed": feed, "change": "opened"}
        assert REGISTRY.get_sample_value("headrace_relay_breaker_changes_total", changes) == 1


async def _told_of(log: Log, name: str, events: list[str]) -> bool:
    return await happened(log.kafka, name) == events


async def test_an_event_that_always_fails_neither_keeps_it_open_nor_delays_others(api: Api, log: Log) -> None:
    """The endpoint fails for all, and the first event after it is back is one that it never takes."""
    feed = log.feed()
    away = True
    ids: list[str] = []

    def choose(delivery: Delivery) -> Answer | None:
        return status(500) if away or delivery.id == ids[0] else None

    async with receiver() as receiving:
        receiving.choose = choose
        created = await api.create(feed, receiving.url, failures_to_open=1, max_in_flight=1)
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        ids += log.send(feed, 30)
        await until(lambda: len(receiving.ids) >= 3)
        away = False
        failed = set(receiving.ids)
        await until(lambda: api.has(name, delivered=29), 20)
        assert set(receiving.ids) == set(ids)
        assert all(count == 1 for event_id, count in Counter(receiving.ids).items() if event_id not in failed)


async def test_one_bad_event_among_good_ones_does_not_open_it(api: Api, log: Log) -> None:
    feed = log.feed()
    bad = log.send(feed)[0]
    async with receiver() as receiving:
        receiving.choose = lambda d: status(500) if d.id == bad else None
        created = await api.create(feed, receiving.url, offset="-1", failures_to_open=3)
        name = created["id"]
        ids: list[str] = []
        while receiving.ids.count(bad) < 8:
            ids += log.send(feed, 3)
            await until(lambda: set(ids) <= set(receiving.ids))  # noqa: B023
        assert await api.breaker(name) == "closed"
        assert await happened(log.kafka, name) == []
        assert all(Counter(receiving.ids)[event_id] == 1 for event_id in ids)


async def test_failing_for_too_long_disables_it_and_it_keeps_its_position(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url, failures_to_open=2, disable_after_s=1.0)
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        ids = log.send(feed, 10)
        await until(lambda: _is(api, name, "disabled"))
        assert "no success since" in (await api.show(name))["reason"]
        await until(lambda: _disabled_told(log, name))
        assert await api.has(name, lag=10)
        receiving.answer = status(204)
        await api.call("POST", f"/{name}/resume")
        await until(lambda: api.has(name, lag=0, parked=0))
        assert set(receiving.ids) == set(ids)


async def test_resumed_after_it_was_disabled_it_has_its_time_again(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url, failures_to_open=2, disable_after_s=2.0)
        name = created["id"]
        await until(lambda: api.has(name, lag=0))
        log.send(feed, 3)
        await until(lambda: _is(api, name, "disabled"))
        await api.call("POST", f"/{name}/resume")
        tried = len(receiving.deliveries)
        await until(lambda: len(receiving.deliveries) >= tried + 2)
        assert (await api.show(name))["state"] == "active"
        await until(lambda: _is(api, name, "disabled"))


async def _is(api: Api, name: str, state: str) -> bool:
    return bool((await api.show(name))["state"] == state)


async def _disabled_told(log: Log, name: str) -> bool:
    return (await happened(log.kafka, name)).count("disabled") == 1
