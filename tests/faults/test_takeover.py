"""Two workers and two relays: when one dies or freezes, the other takes over, and nothing is lost or reordered."""

from __future__ import annotations

import asyncio
import signal

import pytest
from faults.services import Service
from faults.stage import DEPARTURES, ENRICHED, Stage
from faults.traffic import Writer

from headrace.client import Client

pytestmark = pytest.mark.faults

WORKER_TAKES_OVER_S = 30.0
"""Its session time-out of 10 s, a rebalance, and reading back which events there were, on a busy machine."""

RELAY_TAKES_OVER_S = 20.0
"""Its session time-out of 6 s, and reading the state."""

PAUSE_S = 0.1


async def test_the_other_takes_over_when_a_worker_and_a_relay_are_killed(stage: Stage) -> None:
    gateway, workers, relays = await start(stage)
    async with stage.endpoint() as receiving:
        await stage.subscribe(gateway.url, receiving)
        stage.pull(gateway.url)
        writers = write(stage, gateway)
        await stage.until(lambda: bool(stage.pushed.first and stage.pulled.first))
        owner = await owner_of(gateway, relays)
        killed_s = await owner.kill(keep=False)
        await stage.reached_by_all()
        relay_s = stage.pushed.longest_gap_s(killed_s)
        killed_s = await workers[0].kill(keep=False)
        await stage.reached_by_all()
        worker_s = stage.pulled.longest_gap_s(killed_s)
        await finish(stage, gateway, writers)
    print(f"taken over within: worker {worker_s:.1f} s, relay {relay_s:.1f} s")
    assert worker_s < WORKER_TAKES_OVER_S
    assert relay_s < RELAY_TAKES_OVER_S


async def test_a_worker_and_a_relay_that_freeze_and_wake_up_do_no_harm(stage: Stage, rounds: int) -> None:
    gateway, workers, relays = await start(stage)
    async with stage.endpoint() as receiving:
        await stage.subscribe(gateway.url, receiving)
        stage.pull(gateway.url)
        writers = write(stage, gateway)
        await stage.until(lambda: bool(stage.pushed.first and stage.pulled.first))
        for number in range(rounds):
            frozen = [workers[number % 2], await owner_of(gateway, relays)]
            for service in frozen:
                service.send(signal.SIGSTOP)
            # What is acknowledged from now on reaches everybody only when the others have taken over.
            await stage.reached_by_all()
            for service in frozen:
                service.send(signal.SIGCONT)
            await stage.ready()
            await stage.reached_by_all()
        await finish(stage, gateway, writers)


async def start(stage: Stage) -> tuple[Service, list[Service], list[Service]]:
    gateway = stage.service("gateway")
    workers = [stage.service(name) for name in ("worker-1", "worker-2")]
    relays = [stage.service(name) for name in ("relay-1", "relay-2")]
    await stage.ready()
    return gateway, workers, relays


def write(stage: Stage, gateway: Service) -> list[Writer]:
    return [Writer(stage, gateway.url, f"w{n}", batch=5, pause_s=PAUSE_S) for n in range(4)]


async def owner_of(gateway: Service, relays: list[Service]) -> Service:
    """The relay that runs the subscription."""
    async with Client(gateway.url) as client:
        status = (await client.subscriptions.get("faults")).status
        assert status is not None
        return next(relay for relay in relays if relay.url.endswith(status.owner))


async def finish(stage: Stage, gateway: Service, writers: list[Writer]) -> None:
    await asyncio.gather(*(writer.stop() for writer in writers))
    await stage.quiet(gateway.url)
    await stage.stop()
    departures = await stage.read(DEPARTURES)
    await stage.read(ENRICHED)
    print(stage.ledger.check(log=departures))
    assert all(service.crashes == [] for service in stage.services.values())
