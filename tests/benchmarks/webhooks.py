"""Webhooks, each read by the relay, signed, posted, answered, and its attempt reported.

How many a second of events that are in Kafka already, and end to end: accepted by ingest as fast as they are delivered.
At half of the latter, how long one takes from its acknowledgement by ingest to the receiver.
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
ON_THE_WAY = 1000
"""Events that are accepted, or being accepted, and not delivered yet."""
WARM_S = 5
"""At the steady rate before it is timed."""
PACED_S = 10
ALLOWED = {"HEADRACE_WEBHOOK_ALLOW": "127.0.0.0/8"}


def run(bootstrap_servers: str) -> list[Figure]:
    """Deliveries a second, and the time from accepted by ingest to delivered."""
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
        waiting = Figure(
            "webhooks, of events that wait in Kafka",
            receiver.per_s,
            "aiohttp's client alone",
            await _of("aiohttp"),
            f"{1e6 * cpu_s / EVENTS:.0f} µs of CPU each; {receiver.requests - EVENTS} repeats",
        )
        for _ in ("connections are opened, and Java compiles what it runs often", "measured"):
            receiver.reset()
            await pace.kept_up(ingest, "bench", EVENTS, ON_THE_WAY, lambda: len(receiver.seen))
        per_s = receiver.per_s
        for seconds in (WARM_S, PACED_S):
            acknowledged_s = await _paced(receiver, ingest, per_s / 2, seconds)
    accepted = pace.percentiles(at - acknowledged_s[number] for number, at in receiver.arrived_s.items())
    note = (
        f"at {per_s / 2:,.0f}/s, since accepted: p50 {accepted[0.5]:.1f} ms, p99 {accepted[0.99]:.1f} ms; since sent, "
        f"before Kafka had it: p50 {receiver.percentile_ms(0.5):.1f} ms, p99 {receiver.percentile_ms(0.99):.1f} ms"
    )
    return [
        waiting,
        Figure("webhooks, accepted and delivered", per_s, "a bare asyncio protocol", await _of("protocol"), note),
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
