"""Leases and acknowledgements from owner to owner and mode to mode: nothing is held by two, nothing comes back."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from confluent_kafka import Producer
from support.receiver import after, receiver, status
from support.waiting import until
from support.worker import Worker, ids, pulled

from headrace.consumers.relay.definition import POSITIONS, position_partition

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log


@pytest.fixture
def running_relay(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[str]]:
    """Runs a relay in this process."""
    plugin = next(
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(Path(__file__).with_name("conftest.py"))
    )
    found: Callable[..., AbstractAsyncContextManager[str]] = plugin.running_relay
    return found


async def test_a_clean_restart_keeps_leases_delays_counts_and_acknowledgements(
    api: Api, log: Log, running_relay: Any
) -> None:
    feed = log.feed(partitions=2)
    sent = log.send(feed, 6, partition=0) + log.send(feed, 6, partition=1)
    async with running_relay(log):
        worker = await pulled(api, feed)
        leased = await worker.lease(12)
        assert await worker.ack(*leased[1:4]) == {}
        assert await worker.nack(leased[0], delay_s=0.1) == {}
        assert ids(await worker.lease(wait_s=10)) == ids(leased[:1])
    async with running_relay(log):
        await until(lambda: api.owner(worker.name))
        assert await worker.lease() == []
        assert await worker.ack(*leased[1:4]) == {}
        assert await worker.ack(leased[0]) == {leased[0]["ack_id"]: "expired"}
        assert await worker.nack(*leased[4:8]) == {}
        again = await worker.lease(wait_s=10)
        assert ids(again) == ids(leased[4:8])
        assert {delivery["delivery"] for delivery in again} == {2}
        assert await worker.ack(*again, *leased[8:]) == {}
        assert await api.has(worker.name, lag=1, in_flight=1)
        assert set(ids(leased)) == set(sent)


async def test_what_a_former_owner_writes_late_of_the_same_epoch_brings_nothing_back(
    api: Api, log: Log, running_relay: Any
) -> None:
    feed = log.feed()
    sent = log.send(feed, 10)
    async with running_relay(log):
        worker = await pulled(api, feed)
        created = (await api.show(worker.name))["created"]
        leased = await worker.lease(10)
        assert await worker.ack(*leased[:3], *leased[5:9]) == {}
    producer = Producer({"bootstrap.servers": log.kafka, "max.in.flight": 1})
    late = f"{worker.name}\0{created}\0lane\x000\x000\x001"
    producer.produce(POSITIONS.name, b'{"position":1,"done":[[2,4]]}', late, partition=position_partition(worker.name))
    assert producer.flush(10) == 0
    async with running_relay(log):
        await until(lambda: api.owner(worker.name))
        # What it says is true, too: the event at 3 is done.
        assert await api.has(worker.name, parked=2, in_flight=2)
        assert await worker.nack(leased[4], leased[9]) == {}
        assert ids(await worker.lease(10)) == [sent[4], sent[9]]


@pytest.mark.faults
async def test_a_killed_owner_leaves_leases_that_its_successor_honours(
    api: Api, log: Log, processes: list[Any]
) -> None:
    feed = log.feed(partitions=2)
    sent = log.send(feed, 100)
    worker = await pulled(api, feed, ordering="none")
    leased = await worker.lease(30, lease_s=300)
    assert await worker.ack(*leased[20:]) == {}
    owner, other = await _owner_first(api, worker, processes)
    await owner.kill()
    await until(lambda: _owned_by(api, worker.name, other.address), 60)
    rest = await _all_there_is(worker)
    assert sorted(ids(rest) + ids(leased)) == sorted(sent)
    assert await worker.ack(*leased[20:]) == {}
    assert await worker.ack(*leased[:10]) == {}
    assert await worker.nack(*leased[10:20]) == {}
    again = await worker.lease(100)
    assert Counter(ids(again)) == Counter(ids(leased[10:20]))
    assert {delivery["delivery"] for delivery in again} == {2}
    assert await worker.ack(*rest, *again) == {}
    assert await api.has(worker.name, lag=0, in_flight=0, parked=0)


@pytest.mark.faults
async def test_killed_among_many_workers_it_loses_nothing_and_no_event_is_held_by_two(
    api: Api, log: Log, processes: list[Any]
) -> None:
    feed = log.feed(partitions=3)
    worker = await pulled(api, feed, lease_s=600)
    owner, other = await _owner_first(api, worker, processes)
    sent = log.send(feed, 3000)
    held: set[str] = set()
    acked: set[str] = set()

    async def work() -> None:
        while len(acked) < len(sent):
            try:
                leased = await worker.lease(25, wait_s=0.5)
            except AssertionError:  # it has no owner at present
                continue
            mine = set(ids(leased))
            assert not mine & held, "two hold it"
            assert not mine & acked, "it came back"
            held.update(mine)
            refused = await _acked_at_last(worker, leased)
            assert refused == {}
            held.difference_update(mine)
            acked.update(mine)

    workers = [asyncio.ensure_future(work()) for _ in range(8)]
    await until(lambda: len(acked) > 300)
    await owner.kill()
    await until(lambda: _owned_by(api, worker.name, other.address), 60)

    async def all_but_what_nobody_was_told_of() -> bool:
        """What a call had leased when its owner was killed is there again only when the lease ends."""
        found = await api.status(worker.name)
        assert not any(task.done() for task in workers) or len(acked) == len(sent)
        return bool(found) and not held and found["lag"] == found["in_flight"] == len(sent) - len(acked)

    await until(all_but_what_nobody_was_told_of, 120)
    assert len(sent) - len(acked) <= 25 * 8
    for task in workers:
        task.cancel()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert [r for r in results if isinstance(r, AssertionError)] == []


async def _acked_at_last(worker: Worker, leased: list[dict[str, Any]]) -> dict[str, str]:
    while leased:
        try:
            return await worker.ack(*leased)
        except AssertionError:  # it has no owner at present
            continue
    return {}


@pytest.mark.faults
async def test_a_frozen_owner_that_wakes_up_leases_nothing_that_its_successor_leased(
    api: Api, log: Log, processes: list[Any]
) -> None:
    feed = log.feed()
    sent = log.send(feed, 30)
    worker = await pulled(api, feed, lease_s=300)
    leased = await worker.lease(10)
    stale, other = await _owner_first(api, worker, processes)
    stale.send(signal.SIGSTOP)
    # They lie there, and are the first that it sees when it wakes up.
    url = f"http://{stale.address}/v1/subscriptions/{worker.name}"
    early = [
        asyncio.ensure_future(_direct(f"{url}/lease", {"max_events": 5})),
        asyncio.ensure_future(_direct(f"{url}/ack", {"ack_ids": [leased[0]["ack_id"]]})),
    ]
    await until(lambda: _owned_by(api, worker.name, other.address), 60)
    assert ids(await worker.lease(10)) == sent[10:20]
    assert await worker.ack(*leased[1:]) == {}
    stale.send(signal.SIGCONT)
    assert await asyncio.gather(*early) == [421, 421]
    assert ids(await worker.lease(100)) == sent[20:]
    assert await worker.ack(leased[0]) == {}
    assert await api.has(worker.name, in_flight=20, lag=20)


async def _direct(url: str, body: Any) -> int:
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, json=body) as answer:
        return answer.status


async def _owner_first(api: Api, worker: Worker, processes: list[Any]) -> tuple[Any, Any]:
    owner = await api.owner(worker.name)
    first, second = processes
    return (first, second) if first.address == owner else (second, first)


async def _owned_by(api: Api, name: str, address: str) -> bool:
    return await api.owner(name) == address


async def _all_there_is(worker: Worker) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while leased := await worker.lease(100):
        found += leased
    return found


@pytest.fixture
async def load(log: Log) -> AsyncIterator[Callable[[str, list[str]], None]]:
    """Writes events to a feed until the test ends it, or ends."""
    tasks: list[asyncio.Task[None]] = []

    async def write(feed: str, sent: list[str]) -> None:
        for _ in range(60):
            sent += log.send(feed, 20)
            await asyncio.sleep(0.02)

    yield lambda feed, sent: tasks.append(asyncio.ensure_future(write(feed, sent)))
    await asyncio.gather(*tasks)


async def _ended(condition: Callable[[], Awaitable[bool]]) -> None:
    await until(condition, 60)


async def test_from_pull_to_webhook_under_load_nothing_is_lost_and_only_what_was_leased_is_repeated(
    api: Api, log: Log, running_relay: Any, load: Any
) -> None:
    feed = log.feed(partitions=2)
    sent: list[str] = []
    async with running_relay(log), receiver() as receiving:
        worker = await pulled(api, feed, lease_s=2)
        load(feed, sent)
        acked: set[str] = set()
        leased: set[str] = set()

        async def work() -> None:
            while True:
                code, body = await api.call("POST", f"/{worker.name}/lease", max_events=20, wait_s=1)
                if code == 409:
                    return  # it is a webhook now
                leased.update(ids(body["events"]))
                done = [delivery["ack_id"] for delivery in body["events"]]
                if done:
                    code, told = await api.call("POST", f"/{worker.name}/ack", ack_ids=done)
                    if code == 409:
                        return
                    acked.update(d["event"]["id"] for d in body["events"] if d["ack_id"] not in told["refused"])

        workers = [asyncio.ensure_future(work()) for _ in range(4)]
        await until(lambda: len(acked) > 200)
        held = await worker.lease(5, wait_s=10)
        assert held
        code, changed, _ = await api.patch(worker.name, {"mode": "webhook", "url": receiving.url})
        assert (code, changed["mode"]) == (200, "webhook")
        assert changed["secret"].startswith("whsec_")
        await asyncio.gather(*workers)
        await until(lambda: len(sent) == 1200, 60)
        await _ended(lambda: api.has(worker.name, lag=0, parked=0))
        pushed = set(receiving.ids)
        assert pushed | acked == set(sent)
        assert not pushed & acked
        assert set(ids(held)) <= pushed
        assert len(receiving.ids) == len(pushed)


async def test_from_webhook_to_pull_under_load_nothing_is_lost_and_only_what_was_in_flight_is_repeated(
    api: Api, log: Log, running_relay: Any, load: Any
) -> None:
    feed = log.feed(partitions=2)
    sent: list[str] = []
    async with running_relay(log), receiver() as receiving:
        receiving.answer = after(0.005, status(204))
        created = await api.create(feed, receiving.url, offset="-1")
        worker = Worker(api, created["id"])
        load(feed, sent)
        await until(lambda: len(receiving.ids) > 200)
        code, changed, _ = await api.patch(worker.name, {"mode": "pull"})
        assert (code, changed["mode"], changed["url"]) == (200, "pull", receiving.url)
        await until(lambda: _is_pulled(api, worker.name))
        pushed = list(receiving.ids)
        acked: list[str] = []
        while not (len(sent) == 1200 and await api.has(worker.name, lag=0)):
            leased = await worker.lease(50, wait_s=1)
            if leased:
                assert await worker.ack(*leased) == {}
                acked += ids(leased)
        assert set(pushed) | set(acked) == set(sent)
        assert len(set(acked)) == len(acked)
        assert not set(pushed) & set(acked)
        assert list(receiving.ids) == pushed
        code, _, _ = await api.patch(worker.name, {"mode": "webhook"})
        assert code == 200
        await until(lambda: _is_pushed(api, worker.name))
        last = log.send(feed, 5)
        await until(lambda: set(last) <= set(receiving.ids))
        assert set(receiving.ids) == set(pushed) | set(last)


async def _is_pulled(api: Api, name: str) -> bool:
    return (await api.status(name)).get("breaker", {}) is None


async def _is_pushed(api: Api, name: str) -> bool:
    return bool((await api.status(name)).get("breaker"))


async def test_to_become_a_webhook_it_needs_a_url(api: Api, log: Log) -> None:
    code, created = await api.call("POST", feed=log.feed(), mode="pull")
    assert (code, created["url"]) == (201, None)
    assert "secret" not in created
    code, problem, _ = await api.patch(created["id"], {"mode": "webhook"})
    assert (code, problem["errors"][0]["pointer"]) == (400, "/url")
    code, _, _ = await api.patch(created["id"], {"lease_s": 60, "max_deliveries": 3})
    assert code == 200


async def test_a_snapshot_is_gone_back_to_after_a_restart_and_a_seek(api: Api, log: Log, running_relay: Any) -> None:
    feed = log.feed()
    sent = log.send(feed, 10)
    async with running_relay(log):
        worker = await pulled(api, feed)
        assert await worker.ack(*(await worker.lease(4))) == {}
        async with api.session.put(f"{api.url}/v1/subscriptions/{worker.name}/snapshots/before") as answer:
            assert answer.status == 201
            made = await answer.json()
        assert await worker.ack(*(await worker.lease(4))) == {}
        await api.seek(worker.name, offset="-1")
    async with running_relay(log):
        await until(lambda: api.owner(worker.name))
        assert await api.call("GET", f"/{worker.name}/snapshots/before") == (200, made)
        assert await api.call("GET", f"/{worker.name}/snapshots") == (200, {"snapshots": [made]})
        await api.seek(worker.name, snapshot="before")
        assert ids(await worker.lease(10)) == sent[4:]
        code, problem = await api.call("POST", f"/{worker.name}/seek", snapshot="none")
        assert (code, problem["detail"]) == (404, "It has no snapshot that is called none.")
        assert await api.call("DELETE", f"/{worker.name}/snapshots/before") == (204, None)
        assert (await api.call("GET", f"/{worker.name}/snapshots/before"))[0] == 404
