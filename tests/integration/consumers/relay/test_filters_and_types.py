"""What a subscription does not want is passed over: at the tail and from history alike, once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import NewPartitions
from support.receiver import receiver, status, when
from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

MANY = 120
SMALL: dict[str, Any] = {"ring_bytes": 400_000, "attempt_timeout_s": 60.0}
"""A memory that does not hold it all; and what is only slow, as on a busy machine, must not come twice."""

COLOURS = ("red", "green", "blue", "white")


@pytest.fixture
def helpers(request: pytest.FixtureRequest) -> Any:
    """The plugin of this directory, for what is no fixture."""
    return next(
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(Path(__file__).with_name("conftest.py"))
    )


def put(log: Log, feed: str, number: int, *, partition: int = 0) -> None:
    colour = COLOURS[number % 4]
    headers = [("ce_id", f"e{number}"), ("ce_type", f"type.{number % 3}"), ("ce_source", "/tests")]
    log.put(feed, b'{"n":%d,"colour":"%s"}' % (number, colour.encode()), partition=partition, headers=headers)


WANTED: list[tuple[dict[str, Any], list[int]]] = [
    ({"filter": "data.colour == 'red'"}, [n for n in range(24) if n % 4 == 0]),
    ({"filter": "data.n >= 20"}, [20, 21, 22, 23]),
    ({"filter": "type == 'type.1' && data.n < 9"}, [1, 4, 7]),
    ({"filter": "data.no_such_field == 1"}, []),
    ({"types": ["type.2"]}, [n for n in range(24) if n % 3 == 2]),
    ({"types": ["type.0", "type.1"]}, [n for n in range(24) if n % 3 != 2]),
    ({"types": ["type.0"], "filter": "data.colour in ['blue', 'white']"}, [3, 6, 15, 18]),
]


async def test_history_and_tail_are_filtered_alike(api: Api, log: Log, helpers: Any) -> None:
    feed = log.feed()
    for number in range(12):
        put(log, feed, number)
    async with receiver() as receiving, helpers.running_relay(log):
        made = [await api.create(feed, f"{receiving.url}/{n}", offset="-1", **w) for n, (w, _) in enumerate(WANTED)]
        for created in made:
            await until(lambda: api.has(created["id"], lag=0))  # noqa: B023
        for number in range(12, 24):
            put(log, feed, number)
        for created, (_, expected) in zip(made, WANTED, strict=True):
            await until(lambda: api.has(created["id"], lag=0, delivered=len(expected)))  # noqa: B023
        counts = Counter(receiving.ids)
        assert counts == Counter(f"e{n}" for _, expected in WANTED for n in expected)


async def test_one_that_wants_nothing_moves_on_and_a_restart_repeats_nothing(api: Api, log: Log, helpers: Any) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        async with helpers.running_relay(log):
            picky = await api.create(feed, receiving.url, filter="data.n == 500")
            some = await api.create(feed, receiving.url, filter="data.colour == 'red'")
            for created in (picky, some):
                await until(lambda: api.has(created["id"], lag=0))  # noqa: B023
            before = (await api.status(picky["id"]))["offset"]
            for number in range(40):
                put(log, feed, number)
            await until(lambda: api.has(some["id"], delivered=10, lag=0))
            await until(lambda: api.has(picky["id"], delivered=0, lag=0))
            assert (await api.status(picky["id"]))["offset"] > before
        async with helpers.running_relay(log):
            await until(lambda: api.has(some["id"], lag=0))
            await until(lambda: api.has(picky["id"], lag=0))
            put(log, feed, 500)
            await until(lambda: api.has(picky["id"], delivered=1))
            await until(lambda: api.has(some["id"], delivered=1, lag=0))
        assert Counter(receiving.ids) == Counter([*(f"e{n}" for n in range(0, 40, 4)), "e500", "e500"])


async def test_of_several_partitions_nothing_comes_twice_to_one_that_cannot_keep_up(
    api: Api, log: Log, helpers: Any
) -> None:
    """More at once, over all partitions, than is taken at the tail: it leaves the tail and comes back to it."""
    feed = log.feed(partitions=4)
    async with receiver() as receiving, helpers.running_relay(log, attempt_timeout_s=60.0, max_in_flight=8):
        plain = await api.create(feed, f"{receiving.url}/plain")
        picky = await api.create(feed, f"{receiving.url}/picky", types=["test"], filter="source == '/tests'")
        for created in (plain, picky):
            await until(lambda: api.has(created["id"], lag=0))  # noqa: B023
        for written in range(800, 4001, 800):
            held = asyncio.Event()
            receiving.answer = when(held, status(204))
            for number in range(written - 800, written):
                headers = [("ce_id", f"e{number}"), ("ce_type", "test"), ("ce_source", "/tests")]
                log.enqueue(feed, b"{}", partition=number % 4, headers=headers)
            await asyncio.to_thread(log.flush)
            await until(lambda: api.has(plain["id"], in_flight=8))
            held.set()
            for created in (plain, picky):
                await until(lambda: api.has(created["id"], lag=0, delivered=written))  # noqa: B023
        assert Counter(receiving.ids) == Counter([f"e{number}" for number in range(4000)] * 2)


async def test_many_with_different_filters_get_each_event_once_under_load(api: Api, log: Log, helpers: Any) -> None:
    """They join at the beginning, catch up while more comes, fall behind, and partitions are added."""
    feed = log.feed(partitions=2)
    sent: list[int] = []

    def burst(count: int, partitions: int) -> None:
        for _ in range(count):
            number = len(sent)
            sent.append(number)
            headers = [("ce_id", f"e{number}"), ("ce_type", f"t{number % 5}"), ("ce_source", "/tests")]
            log.enqueue(feed, b'{"n":%d}' % (number % MANY), partition=number % partitions, headers=headers)
        log.flush()

    burst(600, 2)
    got: defaultdict[str, list[str]] = defaultdict(list)
    async with receiver() as receiving, helpers.running_relay(log, **SMALL):
        made: list[dict[str, Any]] = []
        for n in range(MANY):
            few = {"types": [f"t{n % 5}"], "filter": f"data.n > {n} && data.n < {n + 20}"}
            wanted = {"filter": f"data.n == {n}"} if n % 2 else few
            made.append(await api.create(feed, f"{receiving.url}/{n}", offset="-1", **wanted))
            if n % 40 == 39:
                await asyncio.to_thread(burst, 400, 2)
        log.admin.create_partitions([NewPartitions(feed, 3)])[feed].result()
        await until(lambda: 2 in log.admin.list_topics(feed).topics[feed].partitions)
        await asyncio.to_thread(log.renew)
        await asyncio.to_thread(burst, 1200, 3)

        def expected(n: int) -> list[str]:
            if n % 2:
                return [f"e{s}" for s in sent if s % MANY == n]
            return [f"e{s}" for s in sent if s % 5 == n % 5 and n < s % MANY < n + 20]

        total = sum(len(expected(n)) for n in range(MANY))
        await until(lambda: len(receiving.deliveries) >= total, 60, every_s=0.2)
        for created in made:
            await until(lambda: api.has(created["id"], lag=0))  # noqa: B023
        for delivery in receiving.deliveries:
            got[delivery.path].append(delivery.id)
        for n in range(MANY):
            assert Counter(got[f"/hook/{n}"]) == Counter(expected(n)), n
        await asyncio.gather(*(api.call("DELETE", f"/{created['id']}") for created in made))
