"""Writing over HTTP: batches of 500, and single events over 16 connections."""

from __future__ import annotations

import asyncio
import sys
import time

import orjson
import uvloop

from benchmarks.connection import Connection, post
from benchmarks.events import FEED, event, make_topic, produce
from benchmarks.figure import Figure
from benchmarks.processes import feeds, process, service, wait_for
from headrace.broker.properties import free_port

BATCH = 500
BATCHES = 400
SINGLES = 30_000
CONNECTIONS = 16
PATH = "/v1/feeds/bench/events"

AIOHTTP_ALONE = """
import sys, uvloop
from aiohttp import web
async def answer(request):
    await request.read()
    return web.json_response({"events": []})
async def make():
    app = web.Application()
    app.add_routes([web.post("/v1/feeds/bench/events", answer), web.get("/readyz", answer)])
    return app
uvloop.install()
web.run_app(make(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None, shutdown_timeout=0.1)
"""


def run(bootstrap_servers: str) -> list[Figure]:
    """Events acknowledged by Kafka a second."""
    make_topic(bootstrap_servers, "reference")
    librdkafka = produce(bootstrap_servers, "reference", 200_000)
    batches = [post(PATH, orjson.dumps([event(i) for i in range(n, n + BATCH)])) for n in range(0, 20 * BATCH, BATCH)]
    singles = [post(PATH, orjson.dumps(event(n))) for n in range(1000)]
    with feeds(bench=FEED) as environ, service("ingest", bootstrap_servers, **environ) as port:
        uvloop.run(_send(port, batches, 40, 4))  # warm
        batched_s, _ = uvloop.run(_send(port, batches, BATCHES, 4))
        uvloop.run(_send(port, singles, 2000, CONNECTIONS))
        singly_s, slowest = uvloop.run(_send(port, singles, SINGLES, CONNECTIONS))
    alone = free_port()
    with process([sys.executable, "-c", AIOHTTP_ALONE, str(alone)], {}):
        wait_for(f"http://127.0.0.1:{alone}/readyz")
        uvloop.run(_send(alone, singles, 2000, CONNECTIONS))
        aiohttp_s, _ = uvloop.run(_send(alone, singles, SINGLES, CONNECTIONS))
    return [
        Figure("ingest, batches of 500, 4 connections", BATCH * BATCHES / batched_s, "librdkafka alone", librdkafka),
        Figure(
            "ingest, single events, 16 connections",
            SINGLES / singly_s,
            "aiohttp alone, nothing written",
            SINGLES / aiohttp_s,
            f"p99 {1000 * slowest:.1f} ms",
        ),
    ]


async def _send(port: int, requests: list[bytes], count: int, connections: int) -> tuple[float, float]:
    """Send `count` requests; returns the seconds that all took, and the 99th percentile of one."""
    durations: list[float] = []
    numbers = iter(range(count))

    async def work() -> None:
        connection = await Connection.open(port)
        for number in numbers:
            began = time.perf_counter()
            status, _, body = await connection.exchange(requests[number % len(requests)])
            durations.append(time.perf_counter() - began)
            assert status == 200, body
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    return time.perf_counter() - started, sorted(durations)[int(0.99 * len(durations))]
