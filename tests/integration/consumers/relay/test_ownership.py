"""Several relays: they share the subscriptions, and take over from one another."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer
from support.receiver import after, receiver, status, when
from support.records import records_of
from support.spread import spread
from support.waiting import until

from headrace.consumers.relay.definition import OWNERS, POSITIONS, SUBSCRIPTIONS, position_partition
from headrace.consumers.relay.ownership import Ownership

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log


async def has(api: Api, name: str, **wanted: object) -> bool:
    found = await api.status(name)
    return all(found.get(member) == value for member, value in wanted.items())


@pytest.fixture
def helpers(request: pytest.FixtureRequest) -> Any:
    """The plugin of this directory, for what is no fixture."""
    return next(
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(Path(__file__).with_name("conftest.py"))
    )


async def owners(api: Api, names: list[str]) -> dict[str, str]:
    return dict(zip(names, await asyncio.gather(*(api.owner(name) for name in names)), strict=True))


async def test_two_relays_share_and_a_clean_stop_hands_over_without_repeats(api: Api, log: Log, helpers: Any) -> None:
    feed = log.feed(partitions=2)
    async with receiver() as receiving, helpers.running_relay(log) as first:
        names = [(await api.create(feed, receiving.url, name=each))["id"] for each in spread(feed)]
        ids = log.send(feed, 20)
        await until(lambda: _all(api, names, lag=0, delivered=20))
        async with helpers.running_relay(log) as second:
            await until(lambda: _shared(api, names, {first, second}))
            ids += log.send(feed, 20)
            await until(lambda: len(receiving.ids) >= len(names) * 40)
        # The second has gone: the first has again what it had before, the same partitions of the log included.
        await until(lambda: _shared(api, names, {first}))
        ids += log.send(feed, 20)
        await until(lambda: len(receiving.ids) >= len(names) * 60)
        await until(lambda: _all(api, names, lag=0))
        counts = Counter(receiving.ids)
        assert {event_id: counts[event_id] for event_id in ids} == dict.fromkeys(ids, len(names))
        for name in names:
            await api.call("DELETE", f"/{name}")


async def _all(api: Api, names: list[str], **wanted: object) -> bool:
    return all(await asyncio.gather(*(has(api, name, **wanted) for name in names)))


async def _shared(api: Api, names: list[str], among: set[str]) -> bool:
    return set((await owners(api, names)).values()) == among


async def test_parked_events_are_handed_over_with_their_attempts(api: Api, log: Log, helpers: Any) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(500)
        async with helpers.running_relay(log):
            created = await api.create(feed, receiving.url, ordering="key")
            await until(lambda: has(api, created["id"], lag=0))
            ids = log.send(feed, 3, key="a") + log.send(feed, 2, key="b")
            await until(lambda: has(api, created["id"], parked=2))
            assert set(receiving.ids) == {ids[0], ids[3]}
        receiving.answer = status(204)
        async with helpers.running_relay(log):
            await until(lambda: has(api, created["id"], lag=0, parked=0), 40)
            accepted = list(dict.fromkeys(reversed(receiving.ids)))[::-1]
            assert [i for i in accepted if i in ids[:3]] == ids[:3]
            assert [i for i in accepted if i in ids[3:]] == ids[3:]


@pytest.mark.faults
async def test_one_killed_is_taken_over_and_nothing_is_lost(api: Api, log: Log, processes: list[Any]) -> None:
    feed = log.feed(partitions=3)
    async with receiver() as receiving:
        receiving.answer = after(0.01, status(204))
        names = [(await api.create(feed, receiving.url, name=each))["id"] for each in spread(feed)]
        await until(lambda: _shared(api, names, {p.address for p in processes}))
        victim, other = processes
        ids = log.send(feed, 2000)
        await until(lambda: len(receiving.ids) > 2000)
        await victim.kill()
        killed = time.monotonic()
        ids += log.send(feed, 200)
        await until(lambda: _shared(api, names, {other.address}))
        took_s = time.monotonic() - killed
        await until(lambda: _all(api, names, lag=0), 60)
        counts = Counter(receiving.ids)
        assert all(counts[event_id] >= len(names) for event_id in ids)
        repeats = sum(counts.values()) - len(names) * len(ids)
        # What was in flight, and what was delivered since the last written position.
        assert repeats < len(names) * 1000
        assert took_s < 15, took_s
        assert set(counts) == set(ids)


async def test_nothing_is_owned_before_all_that_was_acknowledged_is_read(
    api: Api, log: Log, helpers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = log.feed()
    ends: Counter[int] = Counter()
    is_end = Ownership._is_end

    def not_known_at_first(self: Ownership, partition: int, offset: int) -> bool:
        ends[partition] += 1
        return ends[partition] > 2 and is_end(self, partition, offset)

    monkeypatch.setattr(Ownership, "_is_end", not_known_at_first)
    async with receiver() as receiving, helpers.running_relay(log):
        name = (await api.create(feed, receiving.url))["id"]
        ids = log.send(feed, 3)
        await until(lambda: has(api, name, lag=0, delivered=3))
        assert sorted(receiving.ids) == sorted(ids)
    assert set(ends.values()) == {3}


@pytest.mark.faults
async def test_a_stale_owner_that_wakes_up_cannot_undo_a_seek(api: Api, log: Log, processes: list[Any]) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        first = log.send(feed, 50)
        created = await api.create(feed, receiving.url)
        name = created["id"]
        await until(lambda: api.owner(name))
        owner = await api.owner(name)
        stale = next(p for p in processes if p.address == owner)
        other = next(p for p in processes if p.address != owner)
        held = asyncio.Event()
        second = log.send(feed, 20)
        await until(lambda: has(api, name, lag=0, delivered=20))
        # Something is under way, so that it has a position to write when it wakes up.
        receiving.answer = when(held, status(204))
        third = log.send(feed, 4)
        await until(lambda: has(api, name, in_flight=4))
        stale.send(signal.SIGSTOP)
        held.set()
        await until(lambda: _owned_by(api, name, other.address), 60)
        await until(lambda: has(api, name, lag=0))
        receiving.deliveries.clear()
        moved = await api.seek(name, offset="-1")
        epoch = moved["status"]["epoch"]
        assert epoch > 0
        await until(lambda: has(api, name, lag=0, delivered=74))
        assert Counter(receiving.ids) == Counter(first + second + third)
        stale.send(signal.SIGCONT)
        await until(lambda: _both_live(stale, other))
        log.send(feed, 5)
        await until(lambda: has(api, name, lag=0))
        # Whoever owns it next goes on from the seek's epoch, and repeats nothing of what came before it.
        await other.stop()
        await until(lambda: _owned_by(api, name, stale.address), 60)
        receiving.deliveries.clear()
        last = log.send(feed, 5)
        await until(lambda: set(last) <= set(receiving.ids))
        assert (await api.status(name))["epoch"] == epoch
        assert not set(first + second) & set(receiving.ids)


async def _owned_by(api: Api, name: str, address: str) -> bool:
    return await api.owner(name) == address


async def _both_live(*processes: Any) -> bool:
    return all([await process.ready() for process in processes])


async def test_what_a_stale_owner_writes_under_an_older_epoch_does_not_count(api: Api, log: Log, helpers: Any) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        log.send(feed, 10)
        async with helpers.running_relay(log):
            created = await api.create(feed, receiving.url)
            name = created["id"]
            await until(lambda: api.owner(name))
            epoch = (await api.seek(name, offset="-1"))["status"]["epoch"]
            await until(lambda: has(api, name, lag=0, delivered=10))
        producer = Producer({"bootstrap.servers": log.kafka, "max.in.flight": 1})
        key = f"{name}\0{created['created']}\0"
        for suffix, value in [
            ("base\x001", b'{"offset":"-1"}'),
            ("lane\x000\x000", b'{"position":3,"done":[]}'),
            ("parked\x000\x000\x005", b'{"attempt":1,"due":0}'),
            (f"parked\x00{epoch - 1}\x000\x006", b'{"attempt":1,"due":0}'),
        ]:
            producer.produce(POSITIONS.name, value, key + suffix, partition=position_partition(name))
        assert producer.flush(10) == 0
        receiving.deliveries.clear()
        async with helpers.running_relay(log):
            await until(lambda: _current(api, name))
            ids = log.send(feed, 2)
            await until(lambda: set(ids) <= set(receiving.ids))
            assert (await api.status(name))["epoch"] == epoch
            assert sorted(receiving.ids) == sorted(ids)


async def test_what_is_kept_of_one_whose_definition_cannot_be_read_stays(api: Api, log: Log, helpers: Any) -> None:
    feed = log.feed()
    async with receiver() as receiving, receiver() as another:
        ids = log.send(feed, 10)
        async with helpers.running_relay(log):
            name = (await api.create(feed, receiving.url, offset="-1"))["id"]
            await until(lambda: has(api, name, lag=0, delivered=10))
        written = await asyncio.to_thread(records_of, log.kafka, SUBSCRIPTIONS.name, 1)
        definition = [record.value() for record in written if record.key() == name.encode()][-1]
        beside = next(n for n in count() if position_partition(f"{feed}-{n}") == position_partition(name))
        await api.create(feed, another.url, name=f"{feed}-{beside}", offset="-1")
        # As after compaction: nothing is left of the one before.
        define(log, name, None)
        define(log, name, b'{"written by": "a newer version"}')
        async with helpers.running_relay(log):
            # All of its partition has been taken up.
            await until(lambda: set(ids) <= set(another.ids))

            define(log, name, definition)

            ids += log.send(feed, 1)
            await until(lambda: set(ids) <= set(receiving.ids))
            assert sorted(receiving.ids) == sorted(ids)


def define(log: Log, name: str, definition: bytes | None) -> None:
    producer = Producer({"bootstrap.servers": log.kafka})
    producer.produce(SUBSCRIPTIONS.name, definition, name)
    assert producer.flush(10) == 0


async def _current(api: Api, name: str) -> bool:
    return bool(await api.owner(name))


async def test_a_call_reaches_the_owner_through_any_gateway_and_looks_again_after_a_wrong_one(
    api: Api, log: Log, helpers: Any
) -> None:
    feed = log.feed()
    async with receiver() as receiving, receiver() as wrong, helpers.running_relay(log) as address:
        wrong.answer = status(421)
        created = await api.create(feed, receiving.url)
        await until(lambda: api.owner(created["id"]))
        async with helpers.running_gateway(log) as another:
            epoch = (await another.seek(created["id"], offset="now"))["status"]["epoch"]
            partition = str(position_partition(created["id"]))
            producer = Producer({"bootstrap.servers": log.kafka, "max.in.flight": 1})

            def announce(announced: str) -> None:
                producer.produce(OWNERS.name, f'{{"address":"{announced}"}}'.encode(), partition)
                assert producer.flush(10) == 0

            def misled() -> bool:
                # Again and again, as the owner announces itself now and then.
                announce(wrong.url.removeprefix("http://").removesuffix("/hook"))
                return len(wrong.deliveries) >= 2

            async def seek_until_misled() -> Any:
                moved = None
                while not wrong.deliveries:
                    moved = await another.seek(created["id"], offset="now")
                return moved

            seeking = asyncio.ensure_future(seek_until_misled())
            await until(misled)
            announce(address)
            assert (await seeking)["status"]["epoch"] > epoch


async def test_without_a_relay_there_is_a_definition_and_calls_are_told_to_come_again(log: Log, helpers: Any) -> None:
    feed = log.feed()
    async with helpers.running_gateway(log, owner_wait_s=0.5) as api:
        created = await api.create(feed, "http://127.0.0.1:1/")
        shown = await api.show(created["id"])
        assert (shown["id"], shown["status"]) == (created["id"], None)
        async with api.session.post(f"{api.url}/v1/subscriptions/{created['id']}/test") as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "5"
            assert "start a relay" in (await answer.json(content_type=None))["detail"]
        await api.call("DELETE", f"/{created['id']}")
