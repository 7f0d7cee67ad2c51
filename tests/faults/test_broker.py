"""Kafka itself stopped and started, and killed and started, under all services: they come back by themselves."""

from __future__ import annotations

import asyncio

import pytest
from faults.stage import DEPARTURES, ENRICHED, Stage
from faults.traffic import Writer

pytestmark = pytest.mark.faults

MAY_END = {"worker"}
"""A worker that can't go on ends with an error, for its supervisor to start it again."""


async def test_nothing_acknowledged_is_lost_when_kafka_is_restarted_and_when_it_is_killed(
    stage: Stage, rounds: int
) -> None:
    gateway, _, _ = (stage.service(name) for name in ("gateway", "worker", "relay"))
    await stage.ready()
    async with stage.endpoint() as receiving:
        await stage.subscribe(gateway.url, receiving)
        stage.pull(gateway.url)
        writers = [Writer(stage, gateway.url, f"w{n}", batch=5, pause_s=0.1) for n in range(3)]
        await stage.until(lambda: bool(stage.pushed.first and stage.pulled.first))
        for end in [stage.broker.stop, stage.broker.kill] * rounds:
            await asyncio.to_thread(end)
            await asyncio.to_thread(stage.broker.start)
            await stage.ready()
            await stage.reached_by_all()
        await asyncio.gather(*(writer.stop() for writer in writers))
        await stage.quiet(gateway.url)
        await stage.stop()
    departures = await stage.read(DEPARTURES)
    await stage.read(ENRICHED)
    print(stage.ledger.check(log=departures))
    crashes = {name: service.crashes for name, service in stage.services.items() if service.crashes}
    print(f"ended and were started again: {crashes}")
    assert crashes.keys() <= MAY_END
