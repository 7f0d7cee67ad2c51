"""Pulling history as JSON, page by page."""

from __future__ import annotations

import time

import orjson
import uvloop

from benchmarks.connection import Connection, get
from benchmarks.events import FEED, consume, make_topic, produce
from benchmarks.figure import Figure
from benchmarks.processes import feeds, service

EVENTS = 200_000
PAGE = 1000


def run(bootstrap_servers: str) -> list[Figure]:
    """Events pulled a second by one client, from the beginning to the end, none of it in memory before."""
    make_topic(bootstrap_servers, "bench")
    produce(bootstrap_servers, "bench", EVENTS)
    librdkafka = consume(bootstrap_servers, "bench", EVENTS)
    with feeds(bench=FEED) as environ, service("serve", bootstrap_servers, **environ) as port:
        seconds = uvloop.run(_pull(port))
    return [Figure("pull, JSON pages of 1,000, one client", EVENTS / seconds, "librdkafka alone", librdkafka)]


async def _pull(port: int) -> float:
    connection = await Connection.open(port)
    offset, pulled, last = "-1", 0, b""
    started = time.perf_counter()
    while pulled < EVENTS:
        status, head, last = await connection.exchange(get(f"/v1/feeds/bench/events?limit={PAGE}&offset={offset}"))
        assert status == 200, last
        pulled += last.count(b'"specversion"')
        at = head.index(b"Stream-Next-Offset: ") + 20
        offset = head[at : head.index(b"\r", at)].decode()
    seconds = time.perf_counter() - started
    assert len(orjson.loads(last)[-1]["data"]["text"]) > 0
    connection.close()
    return seconds
