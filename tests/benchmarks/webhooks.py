"""Webhooks end to end: written to Kafka, read by the relay, signed, posted, answered, and each attempt reported.

How many a second is measured with events that are in Kafka already; how long one takes, from its acknowledgement by
ingest to the receiver.
"""

from __future__ import annotations

import asyncio

import uvloop

from benchmarks import pace, senders
from benchmarks.events import FEED, make_topic, produce
from benchmarks.figure import Figure
from benchmarks.processes import feeds, gauge, process, service, until
from benchmarks.receiver import Receiver
from benchmarks.subscribers import subscribe
from headrace.consumers.relay.options import Options

EVENTS = 60_000
WARM_S = 10
"""At the steady rate before it is timed: connections are opened, and Java compiles what it runs often."""
PACED_S = 10
ALLOWED = {"HEADRACE_WEBHOOK_ALLOW": "127.0.0.0/8"}


def run(bootstrap_servers: str) -> list[Figure]:
    """Deliveries a second, and the time from accepted by ingest to delivered at half of that."""
    make_topic(bootstrap_servers, "bench")
    return uvloop.run(_measure(bootstrap_servers))


async def _measure(bootstrap_servers: str) -> list[Figure]:
    receiver = Receiver()
    url = f"http://127.0.0.1:{await receiver.start()}/"
    await asyncio.to_thread(subscribe, bootstrap_servers, "bench", {"bench": (url, Options())})
    with (
        feeds(bench=FEED) as environ,
        service("ingest", bootstrap_servers, **environ) as ingest,
        service("relay", bootstrap_servers, **environ, **ALLOWED) as relay,
    ):
        cpu_s = await asyncio.to_thread(gauge, relay, "process_cpu_seconds_total")
        await asyncio.to_thread(produce, bootstrap_servers, "bench", EVENTS)
        await until(lambda: len(receiver.seen) == EVENTS)
        cpu_s = await asyncio.to_thread(gauge, relay, "process_cpu_seconds_total") - cpu_s
        per_s, repeats = receiver.per_s, receiver.requests - EVENTS
        for seconds in (WARM_S, PACED_S):
            acknowledged_s = await _paced(receiver, ingest, per_s / 2, seconds)
    accepted = pace.percentiles(at - acknowledged_s[number] for number, at in receiver.arrived_s.items())
    note = (
        f"{1e6 * cpu_s / EVENTS:.0f} µs of CPU each; {repeats} repeats; at {per_s / 2:,.0f}/s, since accepted: "
        f"p50 {accepted[0.5]:.1f} ms, p99 {accepted[0.99]:.1f} ms; since sent, before Kafka had it: "
        f"p50 {receiver.percentile_ms(0.5):.1f} ms, p99 {receiver.percentile_ms(0.99):.1f} ms"
    )
    return [
        Figure("webhooks, written, signed and delivered", per_s, "aiohttp's client alone", await _of("aiohttp"), note),
        Figure("webhooks, written, signed and delivered", per_s, "a bare asyncio protocol", await _of("protocol")),
    ]


async def _paced(receiver: Receiver, ingest: int, per_s: float, seconds: int) -> list[float]:
    """When each event was acknowledged, in seconds since 1970."""
    receiver.reset()
    count = int(per_s * seconds)
    return await pace.paced(ingest, "bench", per_s, count, lambda: len(receiver.seen) == count)


async def _of(sender: str) -> float:
    """Requests a second of another client."""
    alone = Receiver()
    with process(senders.command(sender, await alone.start(), EVENTS), {}):
        await until(lambda: alone.requests == EVENTS)
    return alone.per_s
