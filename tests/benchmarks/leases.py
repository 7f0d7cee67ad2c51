"""A pull subscription end to end: events in Kafka are leased by eight workers through a gateway, and acknowledged."""

from __future__ import annotations

import asyncio
import re
import time

import orjson
import uvloop

from benchmarks.connection import Connection, get, post
from benchmarks.events import FEED, consume, make_topic, produce
from benchmarks.figure import Figure
from benchmarks.processes import feeds, gauge, service

EVENTS = 200_000
WORKERS = 8
MAX_EVENTS = 500
PATH = "/v1/subscriptions/bench"
ACK_ID = re.compile(rb'"ack_id":("[^"]+")')


def run(bootstrap_servers: str) -> list[Figure]:
    """Events leased and acknowledged a second, each written as leased and as done before the worker is told."""
    make_topic(bootstrap_servers, "bench")
    produce(bootstrap_servers, "bench", EVENTS)
    librdkafka = consume(bootstrap_servers, "bench", EVENTS)
    with (
        feeds(bench=FEED) as environ,
        service("serve", bootstrap_servers, **environ) as serve,
        service("relay", bootstrap_servers, **environ) as relay,
    ):
        uvloop.run(_subscribe(serve))
        cpu_s = gauge(relay, "process_cpu_seconds_total")
        seconds = uvloop.run(_work(serve))
        cpu_s = gauge(relay, "process_cpu_seconds_total") - cpu_s
    note = f"{1e6 * cpu_s / EVENTS:.0f} µs of the owner's CPU each"
    return [
        Figure(f"leased and acked, {WORKERS} workers", EVENTS / seconds, "librdkafka alone consuming", librdkafka, note)
    ]


async def _subscribe(port: int) -> None:
    connection = await Connection.open(port)
    body = orjson.dumps({"feed": "bench", "mode": "pull", "name": "bench", "offset": "-1"})
    status, _, answer = await connection.exchange(post("/v1/subscriptions", body))
    assert status == 201, answer
    while True:
        _, _, answer = await connection.exchange(get(PATH))
        if orjson.loads(answer)["status"]:
            break
        await asyncio.sleep(0.1)
    connection.close()


async def _work(port: int) -> float:
    """Seconds that the workers took."""
    left = EVENTS
    ask = post(f"{PATH}/lease", orjson.dumps({"max_events": MAX_EVENTS, "wait_s": 1}))

    async def worker() -> None:
        nonlocal left
        connection = await Connection.open(port)
        while left > 0:
            status, _, answer = await connection.exchange(ask)
            assert status == 200, answer
            ack_ids = ACK_ID.findall(answer)
            if not ack_ids:
                continue
            body = b'{"ack_ids":[' + b",".join(ack_ids) + b"]}"
            status, _, answer = await connection.exchange(post(f"{PATH}/ack", body))
            assert (status, orjson.loads(answer)) == (200, {"acked": len(ack_ids), "refused": {}}), answer
            left -= len(ack_ids)
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    assert left == 0, f"{-left} were acknowledged twice"
    return time.perf_counter() - started
