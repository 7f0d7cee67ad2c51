"""Writing over HTTP while the gateway is killed: what was answered with 2xx lies where the answer said."""

from __future__ import annotations

import asyncio

import pytest
from faults.stage import DEPARTURES, ENRICHED, Stage
from faults.traffic import Writer, departure

from headrace.client import Client, NewEvent
from headrace.schemas.event import now

pytestmark = pytest.mark.faults

KILLS = 3
REQUESTS = 10
"""That every writer must have had answered between two kills."""


async def test_every_2xx_is_in_the_log_and_retries_come_out_once(stage: Stage, rounds: int) -> None:
    gateway, _ = stage.service("gateway"), stage.service("worker")
    await stage.ready()
    writers = [Writer(stage, gateway.url, f"single{n}", batch=1) for n in range(4)]
    writers += [Writer(stage, gateway.url, f"batch{n}", batch=100, pause_s=0.05) for n in range(2)]
    for _ in range(KILLS * rounds):
        await progress(stage, writers)
        await gateway.kill()
    await progress(stage, writers)
    await asyncio.gather(*(writer.stop() for writer in writers))
    stage.pull(gateway.url)
    await stage.until_seen(stage.pulled)
    await stage.stop()
    stage.forget(stage.pushed)
    departures = await stage.read(DEPARTURES)
    enriched = await stage.read(ENRICHED)
    accounts = stage.ledger.check(log=departures)
    print(accounts)
    assert departures.account.repeats >= sum(writer.sent_again for writer in writers) > 0
    assert enriched.account.repeats == 0
    assert all(service.crashes == [] for service in stage.services.values())


async def progress(stage: Stage, writers: list[Writer]) -> None:
    """Wait until every writer has had some more requests answered."""
    reached = [writer.requests + REQUESTS for writer in writers]
    await stage.until(lambda: all(writer.requests >= count for writer, count in zip(writers, reached, strict=True)))


async def test_retries_of_events_without_a_key_come_out_once_too(stage: Stage) -> None:
    gateway, _ = stage.service("gateway"), stage.service("worker")
    await stage.ready()
    events = [
        NewEvent("flights.departure", "/test", departure(n, None), id=f"keyless-{n}", time=now()) for n in range(20)
    ]
    async with Client(gateway.url) as client:
        for _ in range(4):
            await client.publish(DEPARTURES, events)
    total = len(events) * 4

    async def done() -> bool:
        return await asyncio.to_thread(stage.committed, DEPARTURES) == total

    await stage.until(done, 60)
    enriched = await stage.read(ENRICHED)
    assert (enriched.account.events, enriched.account.repeats) == (len(events), 0)
