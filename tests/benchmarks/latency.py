"""How old events are when they arrive live: from a request to ingest to an SSE connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import cast

import uvloop

from benchmarks import pace
from benchmarks.connection import get
from benchmarks.events import FEED, make_topic
from benchmarks.figure import Figure
from benchmarks.processes import feeds, process, service, until

WARM_S = 5
PACED_S = 10
SENT = b'"sent_s":'
LOOKED_AT = 20
"""Of so many connections the ages of one are noted, spread over all: to read every event costs more than to send it."""


def run(bootstrap_servers: str) -> list[Figure]:
    """The 99th percentile beside what is wanted, at 1,000 events/s to one connection, and 400 events/s to 500."""
    make_topic(bootstrap_servers, "bench")
    return uvloop.run(_measure(bootstrap_servers))


async def _measure(bootstrap_servers: str) -> list[Figure]:
    with feeds(bench=FEED) as environ, service("gateway", bootstrap_servers, **environ) as port:
        return [
            await _figure(port, followers=1, per_s=1000, wanted_ms=20),
            await _figure(port, followers=500, per_s=400, wanted_ms=40),
        ]


async def _figure(port: int, followers: int, per_s: int, wanted_ms: float) -> Figure:
    loop = asyncio.get_running_loop()
    followed = [
        (await loop.create_connection(_Ages if n % LOOKED_AT == 0 else _Follower, "127.0.0.1", port))[1]
        for n in range(followers)
    ]
    for each in followed:
        each.transport.write(get("/v1/feeds/bench/events?offset=now&live=sse"))
    await until(lambda: all(each.begun for each in followed))
    for seconds in (WARM_S, PACED_S):
        await _paced(port, followed, per_s, per_s * seconds)
    ages_ms = sorted(age for each in followed if isinstance(each, _Ages) for age in each.ages_ms)
    for each in followed:
        each.transport.close()
    at = {share: ages_ms[int(share * (len(ages_ms) - 1))] for share in (0.5, 0.99, 0.999)}
    what = f"p99 of SSE, {per_s:,} events/s to {followers:,}"
    note = f"p50 {at[0.5]:.1f} ms, p99.9 {at[0.999]:.1f} ms"
    return Figure(what, at[0.99], "what is wanted", wanted_ms, note, unit=" ms")


async def _paced(port: int, followed: list[_Follower], per_s: int, count: int) -> None:
    for each in followed:
        each.restart()
    with process(pace.command(port, "bench", per_s, count), {}):
        await until(lambda: all(each.count == count for each in followed))


class _Follower(asyncio.Protocol):
    """Counts the events of one connection."""

    def __init__(self) -> None:
        self.begun = False
        self._rest = b""
        self.restart()

    def restart(self) -> None:
        """Count from nothing."""
        self.count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.begun = True
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        self.take(data[:end])

    def take(self, lines: bytes) -> None:
        """Whole lines have come."""
        self.count += lines.count(SENT)


class _Ages(_Follower):
    """Notes how old each event was, too."""

    def restart(self) -> None:
        super().restart()
        self.ages_ms: list[float] = []

    def take(self, lines: bytes) -> None:
        super().take(lines)
        now = time.time()
        self.ages_ms += [1000 * (now - sent_s) for sent_s in _sent(lines)]


def _sent(lines: bytes) -> Iterator[float]:
    at = lines.find(SENT)
    while at >= 0:
        end = lines.index(b",", at)
        yield float(lines[at + len(SENT) : end])
        at = lines.find(SENT, end)
