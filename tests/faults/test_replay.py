"""The main promise: kill -9 of anything during a replay of real flights loses, reorders and renames nothing."""

from __future__ import annotations

import asyncio

import pytest
from faults.stage import DEPARTURES, ENRICHED, Stage
from faults.traffic import replay, replayed

pytestmark = pytest.mark.faults

ROWS = 12_000
SECONDS = 16.0


async def test_every_acknowledged_flight_is_pulled_and_pushed_whatever_is_killed(stage: Stage, rounds: int) -> None:
    rows = ROWS * rounds
    gateway, worker, relay = (stage.service(name) for name in ("gateway", "worker", "relay"))
    await stage.ready()
    async with stage.endpoint() as receiving:
        await stage.subscribe(gateway.url, receiving)
        stage.pull(gateway.url)
        source = replay(stage, rows, SECONDS * rounds)
        together = [gateway, worker, relay, source]
        kills = [*([service] for service in together * rounds), together]
        for number, killed in enumerate(kills, 1):
            await reach(stage, rows * number // (len(kills) + 1))
            await asyncio.gather(*(service.kill() for service in killed))
            stage.crash_puller()
        await replayed(stage, source, rows)
        await stage.quiet(gateway.url)
        await stage.stop()
    await stage.read(DEPARTURES)
    await stage.read(ENRICHED)
    accounts = stage.ledger.check()
    assert {account.events for account in accounts.values()} == {rows}
    print(accounts)
    assert all(service.crashes == [] for service in stage.services.values())


async def reach(stage: Stage, departures: int) -> None:
    """Wait until so many departures are written."""

    async def reached() -> bool:
        return await stage.end(DEPARTURES) >= departures

    await stage.until(reached)
