"""A relay killed between what it writes of an event and the position that steps over it, and Kafka killed under it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from faults.deliveries import Deliveries, check
from faults.failing import TIMEOUT_S, Failing
from faults.relays import DEAD, ENVIRONMENT, KEYS, Load, Relays, written
from faults.stage import Stage
from support.receiver import receiver, status, when
from support.records import records_of
from support.waiting import until

from headrace.consumers.relay.definition import POSITIONS

pytestmark = pytest.mark.faults

NAME = "between"
TAKEN = status(204)
ABORT = status(400, {"webhook-delivery": "abort-message"})


async def refuse_positions(servers: str, refused: bool) -> None:
    """Have Kafka refuse every write of a position as too large, and of nothing else; returns once it does."""
    value = "1" if refused else "1048588"
    entry = ConfigEntry("max.message.bytes", value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, POSITIONS.name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    for future in admin.incremental_alter_configs([resource]).values():
        await asyncio.to_thread(future.result)
    producer = Producer({"bootstrap.servers": servers, "log_level": 0})
    errors: list[KafkaError | None] = []

    def in_force() -> bool:
        producer.produce(POSITIONS.name, None, b"nobody", 0, lambda error, _: errors.append(error))
        assert producer.flush(10) == 0
        return (errors[-1] is not None) == refused

    await until(lambda: asyncio.to_thread(in_force))


async def test_killed_between_a_dead_letter_and_the_position_it_repeats_and_loses_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    relays = Relays(stage, tmp_path / "feeds")
    await relays.start(relays=1)
    (relay,) = relays.relays
    async with receiver() as receiving:
        await relays.create(NAME, receiving.url)
        first = await written(relays.servers, 20, "first")
        await until(lambda: first.keys() <= set(receiving.ids))
        await all_written(relays)
        await refuse_positions(relays.servers, True)
        receiving.deliveries.clear()
        receiving.answer = ABORT
        dead = await written(relays.servers, 20, "dead")
        await until(lambda: letters(relays, len(dead)))
        await relay.kill(keep=False)
        await refuse_positions(relays.servers, False)
        receiving.deliveries.clear()
        relay.start()
        await relays.stage.ready()
        await until(lambda: dead.keys() <= set(receiving.ids), 60)
        await until(lambda: letters(relays, 2 * len(dead)))
        # No position was written: they come again, those before them do not, and each is a dead letter twice.
        assert set(receiving.ids) == dead.keys()
        assert (await relays.dead_letters())[NAME].keys() == dead.keys()
    await stage.stop()


async def all_written(relays: Relays) -> None:
    """Wait until what was delivered is in the positions: they grow no more."""
    ends = [-1]

    async def same() -> bool:
        ends.append(len(await asyncio.to_thread(records_of, relays.servers, POSITIONS.name, 0)))
        return ends[-1] == ends[-2]

    await until(same, 60, every_s=1.0)


async def letters(relays: Relays, count: int) -> bool:
    """Whether there are so many dead letters."""
    return len(await asyncio.to_thread(records_of, relays.servers, DEAD, 0)) >= count


@pytest.mark.parametrize("ordering", ["none", "key"])
async def test_killed_between_a_parked_reference_and_the_position_it_loses_nothing(
    stage: Stage, tmp_path: Path, ordering: str
) -> None:
    relays = Relays(stage, tmp_path / "feeds")
    # No position is written before it is killed; references are written at once.
    slow = {**ENVIRONMENT, "HEADRACE_WRITE_INTERVAL_S": "3600", "HEADRACE_RETRY_SCHEDULE_S": "10,5,5,5"}
    await relays.start(relays=1, environ=slow)
    (relay,) = relays.relays
    async with receiver() as receiving:
        await relays.create(NAME, receiving.url, ordering=ordering)
        receiving.answer = status(409)
        events = await written(relays.servers, 2 * KEYS, "parked")
        # In order of key the second of each waits for the first.
        await until(lambda: relays.has(NAME, parked=len(events) if ordering == "none" else KEYS))
        await relay.kill(keep=False)
        receiving.deliveries.clear()
        receiving.answer = TAKEN
        relay.start()
        await relays.stage.ready()
        await until(lambda: events.keys() <= set(receiving.ids), 60)
        await relays.quiet([NAME])
        assert events.keys() == set(receiving.ids)
        if ordering == "key":
            firsts = [events[event_id] for event_id in dict.fromkeys(receiving.ids)]
            assert sorted(firsts, key=lambda event: event.key) == sorted(firsts, key=lambda e: (e.key, e.number))
    await stage.stop()


async def test_a_seek_whose_caller_goes_in_the_middle_is_carried_out(stage: Stage, tmp_path: Path) -> None:
    relays = Relays(stage, tmp_path / "feeds")
    await relays.start(relays=1)
    async with receiver() as receiving:
        await relays.create(NAME, receiving.url)
        first = await written(relays.servers, 20, "first")
        await until(lambda: first.keys() <= set(receiving.ids))
        held = asyncio.Event()
        receiving.answer = when(held, TAKEN)
        await written(relays.servers, 4, "held")
        await until(lambda: receiving.waiting >= 4)
        # Requests under way may end for some seconds before it is moved, and callers do not wait for ever.
        with pytest.raises(TimeoutError):
            await relays.call("POST", f"/{NAME}/seek", {"offset": "-1"}, timeout_s=TIMEOUT_S / 4)
        receiving.deliveries.clear()
        receiving.answer = TAKEN
        held.set()
        await until(lambda: _moved(relays))
        assert first.keys() <= set(receiving.ids)
    await stage.stop()


async def more(load: Load, count: int) -> None:
    """Wait until so many more events are acknowledged."""
    wanted = len(load.acknowledged) + count
    await until(lambda: len(load.acknowledged) >= wanted, 90)


async def test_nothing_is_lost_when_kafka_is_killed_under_two_relays(stage: Stage, tmp_path: Path, rounds: int) -> None:
    relays = Relays(stage, tmp_path / "feeds")
    await relays.start()
    names = {"plain": {}, "keyed": {"ordering": "key"}}
    async with receiver() as plain, receiver() as keyed:
        found = {name: Deliveries(name, ordered=name == "keyed") for name in names}
        for name, receiving in (("plain", plain), ("keyed", keyed)):
            Failing(receiving, found[name], name)
            await relays.create(name, receiving.url, **names[name])
        async with Load(relays.servers, 100) as load:
            for _ in range(2 * rounds):
                await more(load, 200)
                await asyncio.to_thread(stage.broker.kill)
                await asyncio.to_thread(stage.broker.start)
                await relays.stage.ready()
            await more(load, 200)
        await relays.quiet(list(names))
        dead = await relays.dead_letters()
        for name, deliveries in found.items():
            # What was not acknowledged may have been written all the same.
            check(load.acknowledged, deliveries, dead.get(name, {}), exact=False)
            print(f"{name}: {len(deliveries.taken)} events, {deliveries.repeats} repeats")
    await stage.stop()
    assert all(service.crashes == [] for service in stage.services.values())


async def _moved(relays: Relays) -> bool:
    status = await relays.status(NAME)
    return bool(status["epoch"] > 0 and status["lag"] == 0)
