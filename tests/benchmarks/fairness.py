"""Whether endpoints that are dead or slow delay others: a thousand endpoints, with and without twenty such."""

from __future__ import annotations

import asyncio
from statistics import median

import uvloop

from benchmarks import pace
from benchmarks.events import FEED, make_topic
from benchmarks.figure import Figure
from benchmarks.processes import feeds, process, service, until, wait_for_gauge
from benchmarks.receiver import Receiver
from benchmarks.subscribers import host, subscribe
from headrace.consumers.relay.options import Options

ENDPOINTS = 1000
PER_S = 500
COUNT = 10_000
ROUNDS = 3
REFUSING, SILENT, SLOW = range(5), range(5, 10), range(10, 20)
ALLOWED = {"HEADRACE_WEBHOOK_ALLOW": "127.0.0.0/8"}


def run(bootstrap_servers: str) -> list[Figure]:
    """The 99th percentile of the time from sent to ingest to delivered at the other 980, in turns with and without."""
    make_topic(bootstrap_servers, "bench")
    return uvloop.run(_measure(bootstrap_servers))


async def _measure(bootstrap_servers: str) -> list[Figure]:
    receiver = Receiver(frozenset(map(host, SLOW)), frozenset(map(host, SILENT)))
    port = await receiver.start()
    # The port of those that refuse: it listens only in the turns without trouble.
    away = Receiver()
    away_port = await away.start()
    wanted = {
        f"bench-{n}": (
            f"http://{host(n)}:{away_port if n in REFUSING else port}/",
            Options(filter=f"data.key == 'key-{n}'"),
        )
        for n in range(ENDPOINTS)
    }
    await asyncio.to_thread(subscribe, bootstrap_servers, "bench", wanted)
    with (
        feeds(bench=FEED) as environ,
        service("ingest", bootstrap_servers, **environ) as ingest,
        service("relay", bootstrap_servers, **environ, **ALLOWED) as relay,
    ):
        await asyncio.to_thread(wait_for_gauge, relay, "headrace_relay_owned_subscriptions", ENDPOINTS)
        await _turn(ingest, receiver)  # every endpoint's first connection
        without_ms, with_ms = [], []
        for _ in range(ROUNDS):
            without_ms.append(await _turn(ingest, receiver))
            receiver.troubled = True
            await away.stop()
            with_ms.append(await _turn(ingest, receiver))
            receiver.troubled = False
            await away.start(away_port)
    turns = " ".join(f"{a:.0f}/{b:.0f}" for a, b in zip(with_ms, without_ms, strict=True))
    note = (
        f"median of {ROUNDS} turns of {COUNT:,} events at {PER_S}/s (with/without: {turns} ms); "
        f"{len(REFUSING)} refuse, {len(SILENT)} never answer, {len(SLOW)} take {receiver.slow_s:.0f} s"
    )
    what = "p99 of 980 endpoints beside 20 dead or slow"
    return [Figure(what, median(with_ms), "without those", median(without_ms), note, " ms")]


async def _turn(ingest: int, receiver: Receiver) -> float:
    receiver.reset()
    wanted = COUNT * (ENDPOINTS - len(REFUSING) - len(SILENT) - len(SLOW)) // ENDPOINTS
    with process(pace.command(ingest, "bench", PER_S, COUNT), {}):
        await until(lambda: len(receiver.seen) >= wanted)
    return receiver.percentile_ms(0.99)
