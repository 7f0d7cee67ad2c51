"""What costs nothing while nothing happens: connections that follow a quiet feed, and subscriptions nobody pulls."""

from __future__ import annotations

import asyncio
import resource
import time

import uvloop

from benchmarks.connection import Connection, get
from benchmarks.events import FEED, make_topic
from benchmarks.figure import Figure
from benchmarks.processes import feeds, gauge, service, wait_for_gauge
from benchmarks.subscribers import subscribe
from headrace.consumers.relay.options import Options

CONNECTIONS = 10_000
SUBSCRIPTIONS = 20_000
WARM = 200
"""Of each, before memory is looked at for the first time: what is made once for all is not counted."""
MEMORY = "process_resident_memory_bytes"


def run(bootstrap_servers: str) -> list[Figure]:
    """Memory of each beside what is wanted, and what a storm of connections does to others."""
    make_topic(bootstrap_servers, "bench")
    return [uvloop.run(_connections(bootstrap_servers)), _subscriptions(bootstrap_servers)]


async def _connections(bootstrap_servers: str) -> Figure:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with feeds(bench=FEED) as environ, service("serve", bootstrap_servers, **environ, HEADRACE_LIVE_S="3600") as port:
        followers = await _follow(port, WARM)
        before = await asyncio.to_thread(gauge, port, MEMORY)
        others = asyncio.ensure_future(_pull_meanwhile(port))
        started = time.perf_counter()
        followers += await _follow(port, CONNECTIONS)
        seconds = time.perf_counter() - started
        others.cancel()
        ages_ms = sorted(await others)
        each = (await asyncio.to_thread(gauge, port, MEMORY) - before) / CONNECTIONS
        for follower in followers:
            follower.close()
    note = (
        f"connected in {seconds:.1f} s; others, who pulled meanwhile, were answered {len(ages_ms)} times, p99 "
        f"{ages_ms[int(0.99 * (len(ages_ms) - 1))]:.0f} ms"
    )
    return Figure("10,000 idle SSE connections, each", each / 1024, "what is wanted", 4, note, unit=" KB")


async def _follow(port: int, count: int) -> list[asyncio.Transport]:
    """Connections that have had the first bytes of their answer, a hundred at a time."""
    loop = asyncio.get_running_loop()
    request = get("/v1/feeds/bench/events?offset=now&live=sse")
    made: list[asyncio.Transport] = []
    numbers = iter(range(count))

    async def connect() -> None:
        for _ in numbers:
            transport, follower = await loop.create_connection(_Follower, "127.0.0.1", port)
            made.append(transport)
            transport.write(request)
            await follower.begun

    await asyncio.gather(*(connect() for _ in range(100)))
    return made


async def _pull_meanwhile(port: int) -> list[float]:
    """Milliseconds that answers to another client took, until cancelled."""
    ages_ms: list[float] = []
    connection = await Connection.open(port)
    try:
        while True:
            started = time.perf_counter()
            await connection.exchange(get("/v1/feeds/bench/events?offset=now"))
            ages_ms.append(1000 * (time.perf_counter() - started))
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return ages_ms


class _Follower(asyncio.Protocol):
    def __init__(self) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.begun.done():
            self.begun.set_result(None)


def _subscriptions(bootstrap_servers: str) -> Figure:
    with feeds(bench=FEED) as environ:
        _subscribe(bootstrap_servers, 0, WARM)
        before = _memory(bootstrap_servers, environ, WARM)
        _subscribe(bootstrap_servers, WARM, SUBSCRIPTIONS)
        each = (_memory(bootstrap_servers, environ, SUBSCRIPTIONS) - before) / (SUBSCRIPTIONS - WARM)
    return Figure("20,000 idle pull subscriptions, each", each / 1024, "what is wanted", 2, unit=" KB")


def _subscribe(bootstrap_servers: str, first: int, end: int) -> None:
    subscribe(bootstrap_servers, "bench", {f"bench-{n}": (None, Options()) for n in range(first, end)})


def _memory(bootstrap_servers: str, environ: dict[str, str], subscriptions: int) -> float:
    with service("relay", bootstrap_servers, **environ) as port:
        wait_for_gauge(port, "headrace_relay_owned_subscriptions", subscriptions)
        return gauge(port, MEMORY)
