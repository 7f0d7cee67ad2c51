"""Ten thousand webhook subscriptions of one feed, with two hundred different filters of 1 % each."""

from __future__ import annotations

import asyncio
import time

import orjson
import uvloop
from confluent_kafka import Producer

from benchmarks.events import FEED, event, make_topic
from benchmarks.figure import Figure
from benchmarks.processes import feeds, gauge, service, until, wait_for_gauge
from benchmarks.receiver import Receiver
from benchmarks.subscribers import host, subscribe
from headrace.consumers.relay.options import Options

SUBSCRIPTIONS = 10_000
FILTERS = 200
HOSTS = 1000
WANTED_PER_S = 3000.0
EVENTS = 600
PER_EVENT = SUBSCRIPTIONS // FILTERS * 2
"""Of the filters half are of one member and half of another, each of a hundred values: an event fits one of each."""
ALLOWED = {"HEADRACE_WEBHOOK_ALLOW": "127.0.0.0/8"}


def run(bootstrap_servers: str) -> list[Figure]:
    """Time until all run after a start, memory, deliveries a second."""
    make_topic(bootstrap_servers, "bench")
    return uvloop.run(_measure(bootstrap_servers))


async def _measure(bootstrap_servers: str) -> list[Figure]:
    receiver = Receiver()
    port = await receiver.start()
    wanted = {
        f"bench-{n}": (f"http://{host(n % HOSTS)}:{port}/{n}", Options(filter=_filter(n % FILTERS)))
        for n in range(SUBSCRIPTIONS)
    }
    await asyncio.to_thread(subscribe, bootstrap_servers, "bench", wanted)
    with feeds(bench=FEED) as environ:
        began_s = time.monotonic()
        with service("relay", bootstrap_servers, **environ, **ALLOWED) as relay:
            ready_s = time.monotonic() - began_s
            await asyncio.to_thread(wait_for_gauge, relay, "headrace_relay_owned_subscriptions", SUBSCRIPTIONS)
            running_s = time.monotonic() - began_s
            idle_bytes = await _memory(relay)
            cpu_s = await asyncio.to_thread(gauge, relay, "process_cpu_seconds_total")
            await asyncio.to_thread(_produce, bootstrap_servers)
            await until(lambda: receiver.requests >= EVENTS * PER_EVENT)
            cpu_s = await asyncio.to_thread(gauge, relay, "process_cpu_seconds_total") - cpu_s
            busy_bytes = await _memory(relay)
    note = (
        f"relay {idle_bytes / 2**20:.0f} MB idle, {busy_bytes / 2**20:.0f} MB after {receiver.requests:,} deliveries "
        f"to {HOSTS:,} hosts; {1e6 * cpu_s / receiver.requests:.0f} µs of CPU each; answers {ready_s:.1f} s after its "
        f"start, runs all after {running_s:.1f} s"
    )
    return [Figure("10,000 subscriptions, 200 filters of 1 %", receiver.per_s, "what is wanted", WANTED_PER_S, note)]


def _filter(number: int) -> str:
    member, value = divmod(number, FILTERS // 2)
    return f"data.{('tens', 'tenths')[member]} == {value}"


def _produce(bootstrap_servers: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "enable.idempotence": True})
    for n in range(EVENTS):
        members = {"tens": n % (FILTERS // 2), "tenths": n * 7 % (FILTERS // 2)}
        producer.produce("bench", orjson.dumps({**members, **event(n)}), str(n))
    assert producer.flush(60) == 0


async def _memory(relay: int) -> float:
    return await asyncio.to_thread(gauge, relay, "process_resident_memory_bytes")
