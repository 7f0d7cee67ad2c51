"""How long live events take: from accepted, acknowledged by Kafka, to an SSE connection."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import uvloop

from benchmarks import pace
from benchmarks.connection import get
from benchmarks.events import FEED, make_topic
from benchmarks.figure import Figure
from benchmarks.processes import feeds, service, until

WARM_S = 5
PACED_S = 10
NUMBER = b'"number":'
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
        (await loop.create_connection(_Arrivals if n % LOOKED_AT == 0 else _Follower, "127.0.0.1", port))[1]
        for n in range(followers)
    ]
    for each in followed:
        each.transport.write(get("/v1/feeds/bench/events?offset=now&live=sse"))
    await until(lambda: all(each.begun for each in followed))
    for seconds in (WARM_S, PACED_S):
        acknowledged_s = await _paced(port, followed, per_s, per_s * seconds)
    looked_at = [each for each in followed if isinstance(each, _Arrivals)]
    since_acknowledged = pace.percentiles([at - acknowledged_s[n] for each in looked_at for n, _, at in each.arrivals])
    since_sent = pace.percentiles([at - sent_s for each in looked_at for _, sent_s, at in each.arrivals])
    for each in followed:
        each.transport.close()
    return Figure(
        f"p99 of SSE, {per_s:,} events/s to {followers:,}",
        since_acknowledged[0.99],
        "what is wanted",
        wanted_ms,
        f"p50 {since_acknowledged[0.5]:.1f} ms; since sent, before Kafka had it: p50 {since_sent[0.5]:.1f} ms, "
        f"p99 {since_sent[0.99]:.1f} ms",
        unit=" ms",
    )


async def _paced(port: int, followed: list[_Follower], per_s: int, count: int) -> list[float]:
    """When each event was acknowledged, in seconds since 1970."""
    for each in followed:
        each.restart()
    return await pace.paced(port, "bench", per_s, count, lambda: all(each.count == count for each in followed))


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


class _Arrivals(_Follower):
    """Notes when each event came, too: its number, when it was sent, and now."""

    def restart(self) -> None:
        super().restart()
        self.arrivals: list[tuple[int, float, float]] = []

    def take(self, lines: bytes) -> None:
        super().take(lines)
        now = time.time()
        at = lines.find(SENT)
        while at >= 0:
            sent_s, at = _value(lines, at + len(SENT))
            number, at = _value(lines, lines.index(NUMBER, at) + len(NUMBER))
            self.arrivals.append((int(number), float(sent_s), now))
            at = lines.find(SENT, at)


def _value(lines: bytes, at: int) -> tuple[bytes, int]:
    """A number in JSON, and where it ends."""
    end = lines.index(b",", at)
    return lines[at:end], end
