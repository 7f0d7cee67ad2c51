"""Webhooks end to end: written to Kafka, read by the relay, signed, posted, answered, and each attempt reported."""

from __future__ import annotations

import asyncio
import urllib.request

import orjson
import uvloop

from benchmarks import pace, senders
from benchmarks.events import FEED, make_topic, produce
from benchmarks.figure import Figure
from benchmarks.processes import feeds, gauge, process, service, until
from benchmarks.receiver import Receiver

EVENTS = 60_000
PACED_S = 10
ALLOWED = {"HEADRACE_WEBHOOK_ALLOW": "127.0.0.0/8"}


def run(bootstrap_servers: str) -> list[Figure]:
    """Deliveries a second, and the time from written to delivered at half of that."""
    make_topic(bootstrap_servers, "bench")
    with (
        feeds(bench=FEED) as environ,
        service("serve", bootstrap_servers, **environ, **ALLOWED) as serve,
        service("relay", bootstrap_servers, **environ, **ALLOWED) as relay,
    ):
        return uvloop.run(_measure(bootstrap_servers, serve, relay))


async def _measure(bootstrap_servers: str, serve: int, relay: int) -> list[Figure]:
    receiver = Receiver()
    port = await receiver.start()
    await asyncio.to_thread(_subscribe, serve, f"http://127.0.0.1:{port}/")
    cpu_s = await asyncio.to_thread(gauge, relay, "process_cpu_seconds_total")
    await asyncio.to_thread(produce, bootstrap_servers, "bench", EVENTS)
    await until(lambda: len(receiver.seen) == EVENTS)
    cpu_s = await asyncio.to_thread(gauge, relay, "process_cpu_seconds_total") - cpu_s
    per_s, repeats = receiver.per_s, receiver.requests - EVENTS

    receiver.reset()
    half_per_s = per_s / 2
    count = int(half_per_s * PACED_S)
    with process(pace.command(bootstrap_servers, "bench", half_per_s, count), {}):
        await until(lambda: len(receiver.seen) == count)
    note = (
        f"{1e6 * cpu_s / EVENTS:.0f} µs of CPU each; {repeats} repeats; at {half_per_s:,.0f}/s: "
        f"p50 {receiver.percentile_ms(0.5):.1f} ms, p99 {receiver.percentile_ms(0.99):.1f} ms"
    )
    return [
        Figure("webhooks, written, signed and delivered", per_s, "aiohttp's client alone", await _of("aiohttp"), note),
        Figure("webhooks, written, signed and delivered", per_s, "a bare asyncio protocol", await _of("protocol")),
    ]


async def _of(sender: str) -> float:
    """Requests a second of another client."""
    alone = Receiver()
    with process(senders.command(sender, await alone.start(), EVENTS), {}):
        await until(lambda: alone.requests == EVENTS)
    return alone.per_s


def _subscribe(serve: int, url: str) -> None:
    body = orjson.dumps({"feed": "bench", "url": url})
    request = urllib.request.Request(f"http://127.0.0.1:{serve}/v1/subscriptions", body, method="POST")
    with urllib.request.urlopen(request) as answer:
        name = orjson.loads(answer.read())["id"]
    with urllib.request.urlopen(f"http://127.0.0.1:{serve}/v1/subscriptions/{name}") as answer:
        assert orjson.loads(answer.read())["status"] is not None, "no relay runs the subscription"
