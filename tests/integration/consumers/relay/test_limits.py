"""Limits of an endpoint are kept, and none is at the expense of another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.receiver import after, never, receiver, status, when
from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")


@pytest.mark.parametrize("limit", [1, 3, 12])
async def test_never_more_than_max_in_flight_wait_for_an_answer(api: Api, log: Log, limit: int) -> None:
    feed = log.feed(partitions=3)
    ids = log.send(feed, 200)
    held = asyncio.Event()
    async with receiver() as receiving:
        receiving.answer = when(held, after(0.002, status(204)))
        created = await api.create(feed, receiving.url, offset="-1", max_in_flight=limit)
        await until(lambda: receiving.waiting == min(limit, 8))
        assert await api.has(created["id"], in_flight=min(limit, 8))
        held.set()
        await until(lambda: api.has(created["id"], delivered=200, lag=0))
        assert min(limit, 8) <= receiving.most_waiting <= limit
        assert sorted(receiving.ids) == sorted(ids)


async def test_no_more_than_the_rate_is_sent_in_any_time(api: Api, log: Log) -> None:
    """Being slow it cannot break the limit, so only what came too early is looked for."""
    feed = log.feed()
    log.send(feed, 120)
    rate, burst = 40, 1 + 40 * 0.1
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, offset="-1", rate_limit_per_s=rate)
        await until(lambda: api.has(created["id"], delivered=120, lag=0))
        times = [delivery.at_s for delivery in receiving.deliveries]
        # What was sent in time may arrive together, by some milliseconds: so over a whole second and not less.
        for first in range(len(times)):
            within = sum(1 for at_s in times[first:] if at_s < times[first] + 1.0)
            assert within <= rate + burst + 5, f"{within} within a second"
        assert times[-1] - times[0] >= (120 - burst) / rate * 0.95


async def test_the_rate_counts_requests_also_when_they_are_tried_again(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.choose = lambda d: status(500) if receiving.ids.count(d.id) < 3 else None
        log.send(feed, 10)
        created = await api.create(
            feed, receiving.url, offset="-1", rate_limit_per_s=10, retry_s=[0.01] * 5, failures_to_open=100
        )
        await until(lambda: api.has(created["id"], delivered=10, lag=0))
        times = [delivery.at_s for delivery in receiving.deliveries]
        assert len(times) == 30
        assert times[-1] - times[0] >= (30 - 2) / 10 * 0.95


async def test_the_rate_of_one_is_not_that_of_another(api: Api, log: Log) -> None:
    feed = log.feed()
    ids = log.send(feed, 300)
    async with receiver() as slow, receiver() as fast:
        limited = await api.create(feed, slow.url, offset="-1", rate_limit_per_s=1)
        free = await api.create(feed, fast.url, offset="-1")
        await until(lambda: api.has(free["id"], delivered=300, lag=0))
        assert sorted(fast.ids) == sorted(ids)
        assert len(slow.ids) < 100
        await api.call("DELETE", f"/{limited['id']}")


async def test_one_slow_and_one_dead_endpoint_do_not_delay_others(api: Api, log: Log) -> None:
    """The others have all while the slow one has had a few answers and the dead one none."""
    feed = log.feed(partitions=2)
    held = asyncio.Event()
    async with receiver() as slow, receiver() as dead, receiver() as first, receiver() as second:
        slow.answer = when(held, status(204))
        dead.answer = never
        names = [(await api.create(feed, r.url))["id"] for r in (slow, dead, first, second)]
        for name in names:
            await until(lambda: api.has(name, lag=0))  # noqa: B023
        ids = log.send(feed, 1000)
        for name in names[2:]:
            await until(lambda: api.has(name, delivered=1000, lag=0))  # noqa: B023
        assert sorted(first.ids) == sorted(second.ids) == sorted(ids)
        for name in names[:2]:
            found = await api.status(name)
            assert (found["delivered"], found["in_flight"] <= 8) == (0, True)
        held.set()
        for name in names[:2]:
            await api.call("DELETE", f"/{name}")


async def test_an_endpoint_that_fails_does_not_stop_those_after_it_in_the_total(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as failing, receiver() as good:
        failing.answer = status(500)
        names = [(await api.create(feed, failing.url, failures_to_open=2))["id"] for _ in range(20)]
        created = await api.create(feed, good.url)
        await until(lambda: api.has(created["id"], lag=0))
        ids = log.send(feed, 300)
        await until(lambda: api.has(created["id"], delivered=300, lag=0))
        assert sorted(good.ids) == sorted(ids)
        for name in names:
            await api.call("DELETE", f"/{name}")
