"""Relays killed and frozen at random under load, before receivers that fail in every way: nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from faults.deliveries import LAST_WORDS_S, Deliveries, Seek, check
from faults.failing import POISON_EVERY, Failing, is_poison
from faults.relays import LANES, Load, Relays
from faults.services import Service
from faults.stage import PATIENCE_S, Stage
from support.receiver import receiver
from support.waiting import until

from headrace.durable.token import decode_token, encode_token

pytestmark = pytest.mark.faults

PER_S = 80
NAP_S = 2.0
"""Shorter: it wakes up as the owner."""

TAKEN_OVER_S = 20.0
"""The promise is 10 s; a machine that does other things as well gets more."""

WRITTEN_S = 0.2
"""What was delivered longer ago than this is in a written position: the promise of the relay."""

WRITTEN_ON_A_BUSY_MACHINE_S = 2.0
"""The relay writes every 0.1 s what Kafka has acknowledged, and both wait for their turns here."""

FAULTS = ("kill", "freeze", "kill", "nap", "kill")


async def test_killed_and_frozen_at_random_nothing_is_lost_and_order_holds(
    stage: Stage, tmp_path: Path, faults: int
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    relays = Relays(stage, tmp_path / "feeds")
    await relays.start()
    async with subscribed(relays, seed) as subscriptions:
        async with Load(relays.servers, PER_S) as load:
            await progress(load, subscriptions)
            for number in range(faults):
                await asyncio.sleep(chance.random())  # a fault comes at any moment of what is written every 100 ms
                await FAULT[FAULTS[number % len(FAULTS)]](relays, load, subscriptions, chance.choice(relays.relays))
        await relays.quiet(list(subscriptions))
        dead = await relays.dead_letters()
        for name, deliveries in subscriptions.items():
            check(load.acknowledged, deliveries, dead.get(name, {}))
            print(
                f"{name}: {len(deliveries.taken)} events, {deliveries.repeats} repeats, {len(dead.get(name, {}))} dead"
            )
        poisonous = {event_id for event_id in load.acknowledged if is_poison(event_id)}
        assert poisonous, f"fewer than {POISON_EVERY} events"
        assert poisonous <= dead["any"].keys()
        assert not poisonous & subscriptions["any"].taken.keys()
    await stage.stop()
    assert all(service.crashes == [] for service in stage.services.values())


@contextlib.asynccontextmanager
async def subscribed(relays: Relays, seed: int) -> AsyncIterator[dict[str, Deliveries]]:
    """Subscriptions of every kind: several of each, so that both relays have some."""
    kinds: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "any": ({}, {}),
        "keyed": ({"ordering": "key"}, {"ordered": True}),
        "green": ({"filter": "data.kind == 'green'"}, {"wants": lambda event: event.kind == "green"}),
        "batched": ({"batch": {"max_events": 20, "max_wait_ms": 50}}, {}),
        "keyed-batched": ({"ordering": "key", "batch": {"max_events": 10}}, {"ordered": True}),
        "sought": ({"ordering": "key"}, {"ordered": True}),
    }
    async with contextlib.AsyncExitStack() as stack:
        found: dict[str, Deliveries] = {}
        for name, (members, expected) in kinds.items():
            receiving = await stack.enter_async_context(receiver())
            found[name] = Deliveries(name, **expected)
            Failing(receiving, found[name], f"{seed}-{name}", refuses="batch" not in members and name != "sought")
            await relays.create(name, receiving.url, **members)
        yield found


async def progress(load: Load, subscriptions: dict[str, Deliveries]) -> None:
    """Wait until every subscription has taken an event that was written after this call."""
    before = len(load.acknowledged)

    def waiting() -> list[str]:
        new = list(load.acknowledged)[before:]
        return [name for name, one in subscriptions.items() if not any(event_id in one.taken for event_id in new)]

    try:
        await until(lambda: not waiting(), PATIENCE_S, every_s=0.1)
    except AssertionError:
        raise AssertionError(f"nothing new came in {PATIENCE_S:g} s to {waiting()}") from None


async def kill(relays: Relays, load: Load, subscriptions: dict[str, Deliveries], victim: Service) -> None:
    """Kill -9; it is started again. What had been delivered, and written, before that does not come again."""
    owned = await of(relays, subscriptions, victim)
    under_way = {name: set(subscriptions[name].open) for name in owned}
    killed_s = await victim.kill()
    await progress(load, subscriptions)
    again = {name: subscriptions[name].repeated_after(killed_s) for name in owned}
    promised, most = (
        {
            name: under_way[name] | subscriptions[name].done_between(killed_s - written_s, killed_s + LAST_WORDS_S)
            for name in owned
        }
        for written_s in (WRITTEN_S, WRITTEN_ON_A_BUSY_MACHINE_S)
    )
    for name in owned:
        # What an earlier fault left to be repeated may also come only now.
        subscriptions[name].may_repeat |= most[name]
    stray = {name: again[name] - subscriptions[name].may_repeat for name in owned}
    first_s = [subscriptions[name].first_after_s(killed_s + 1.0) or killed_s for name in owned]
    took_s = max(first_s, default=killed_s) - killed_s
    counts = {name: f"{len(again[name])} of {len(promised[name])}" for name in owned}
    print(f"{victim.name} killed: repeats {counts}, taken over after {took_s:.1f} s")
    await victim.ready()
    assert took_s < TAKEN_OVER_S
    assert not any(stray.values()), stray


async def freeze(relays: Relays, load: Load, subscriptions: dict[str, Deliveries], _: Service) -> None:
    """SIGSTOP until another has taken over and a seek was made there, then SIGCONT: the seek counts."""
    before = {name: one.repeats for name, one in subscriptions.items() if name != "sought"}
    identity = decode_token((await until(lambda: relays.status("sought")))["offset"])[1]
    position = untaken(load, subscriptions["sought"])
    await progress(load, subscriptions)
    frozen = await until(lambda: relays.owner("sought"))
    frozen_s = time.monotonic() - WRITTEN_ON_A_BUSY_MACHINE_S
    frozen.send(signal.SIGSTOP)
    await progress(load, subscriptions)
    written, asked_s = dict(load.places), time.monotonic()
    epoch = await relays.seek("sought", encode_token(position, identity))
    seek = Seek(asked_s, frozenset(e for e, (p, offset) in written.items() if offset >= position[p]))
    frozen.send(signal.SIGCONT)
    await progress(load, subscriptions)
    await relays.stage.ready()
    await progress(load, subscriptions)
    assert (await until(lambda: relays.status("sought")))["epoch"] == epoch
    may_repeat_since(subscriptions, frozen_s)
    repeats = {name: subscriptions[name].repeats - count for name, count in before.items()}
    print(f"{frozen.name} frozen and woken: repeats {repeats}, sought {len(seek.again)} events back")
    subscriptions["sought"].seeks.append(seek)


async def nap(relays: Relays, load: Load, subscriptions: dict[str, Deliveries], victim: Service) -> None:
    """SIGSTOP and SIGCONT within its session."""
    before = {name: one.repeats for name, one in subscriptions.items()}
    napped_s = time.monotonic() - WRITTEN_ON_A_BUSY_MACHINE_S
    victim.send(signal.SIGSTOP)
    await asyncio.sleep(NAP_S)
    victim.send(signal.SIGCONT)
    await progress(load, subscriptions)
    may_repeat_since(subscriptions, napped_s)
    print(f"{victim.name} napped: repeats { {n: one.repeats - before[n] for n, one in subscriptions.items()} }")


def untaken(load: Load, deliveries: Deliveries) -> tuple[int, ...]:
    """The first event of each partition that was not taken: the position shown steps over those that are parked."""
    places = dict(load.places)
    first = [max((offset + 1 for p, offset in places.values() if p == lane), default=0) for lane in range(LANES)]
    for event_id, (lane, offset) in places.items():
        if event_id not in deliveries.taken:
            first[lane] = min(first[lane], offset)
    return tuple(first)


def may_repeat_since(subscriptions: dict[str, Deliveries], moment_s: float) -> None:
    """Of what two owners at once delivered, or one that saw no answer in time, anything may come again."""
    for one in subscriptions.values():
        one.may_repeat |= set(one.open) | one.done_between(moment_s, time.monotonic())


FAULT = {"kill": kill, "freeze": freeze, "nap": nap}


async def of(relays: Relays, subscriptions: dict[str, Deliveries], relay: Service) -> list[str]:
    """The subscriptions that a relay runs, without the one that is moved."""
    owners = await asyncio.gather(*(relays.owner(name) for name in subscriptions))
    return [name for name, owner in zip(subscriptions, owners, strict=True) if owner is relay and name != "sought"]
