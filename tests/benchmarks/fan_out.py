"""Live fan-out over SSE and over WebSocket to 500 connections."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine

import orjson
import uvloop

from benchmarks.connection import get
from benchmarks.events import FEED, event, make_topic, produce
from benchmarks.figure import Figure
from benchmarks.processes import feeds, process, service, wait_for
from headrace.broker.properties import free_port

FOLLOWERS = 500
EVENTS = 10_000
MARK = b'"number"'

AIOHTTP_ALONE = """
import asyncio, sys, uvloop
from aiohttp import web
followers, event = [], sys.argv[2].encode()
async def follow(request):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    followers.append(response)
    await asyncio.sleep(3600)
async def send(request):
    for _ in range(int(request.query["count"])):
        for response in followers:
            await response.write(event)
    return web.Response()
async def ready(request):
    return web.Response()
async def make():
    app = web.Application()
    app.add_routes([web.get("/follow", follow), web.get("/send", send), web.get("/readyz", ready)])
    return app
uvloop.install()
web.run_app(make(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None, shutdown_timeout=0.1)
"""


SSE = get("/v1/feeds/bench/events?offset=now&live=sse")
WEBSOCKET = get(
    "/v1/feeds/bench/events?offset=now",
    Connection="Upgrade",
    Upgrade="websocket",
    Sec_WebSocket_Version="13",
    Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
)


def run(bootstrap_servers: str) -> list[Figure]:
    """Events delivered to all followers a second, over SSE."""
    return [_figure("SSE", SSE, bootstrap_servers)]


def run_websocket(bootstrap_servers: str) -> list[Figure]:
    """The same over WebSocket, a message for each event."""
    return [_figure("WebSocket", WEBSOCKET, bootstrap_servers)]


def _figure(mode: str, request: bytes, bootstrap_servers: str) -> Figure:
    make_topic(bootstrap_servers, "bench")
    with feeds(bench=FEED) as environ, service("serve", bootstrap_servers, **environ) as port:

        async def write() -> None:
            await asyncio.to_thread(produce, bootstrap_servers, "bench", EVENTS)

        ours = uvloop.run(_follow(port, request, EVENTS, write()))
    alone = free_port()
    frame = f"data: {orjson.dumps(event(1)).decode()}\n\n"
    with process([sys.executable, "-c", AIOHTTP_ALONE, str(alone), frame], {}):
        wait_for(f"http://127.0.0.1:{alone}/readyz")
        count = EVENTS // 20

        async def send() -> None:
            await asyncio.to_thread(wait_for, f"http://127.0.0.1:{alone}/send?count={count}")

        reference = uvloop.run(_follow(alone, get("/follow"), count, send()))
    return Figure(f"{mode}, fan-out to 500 connections", ours, "aiohttp alone, SSE, a write per event", reference)


class _Counter(asyncio.Protocol):
    """Counts the events of one connection."""

    def __init__(self, wanted: int, done: asyncio.Queue[None]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = wanted
        self._done = done
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        data = self._tail + data
        self._left -= data.count(MARK)
        # A mark may be cut in two: its beginning is kept, but never a whole one.
        self._tail = data[-(len(MARK) - 1) :]
        if self._left == 0:
            self._left = -1
            self._done.put_nowait(None)


async def _follow(port: int, request: bytes, events: int, write: Coroutine[None, None, None]) -> float:
    loop = asyncio.get_running_loop()
    done: asyncio.Queue[None] = asyncio.Queue()
    counters: list[_Counter] = []
    transports = []
    for _ in range(FOLLOWERS):
        transport, counter = await loop.create_connection(lambda: _Counter(events, done), "127.0.0.1", port)
        transport.write(request)
        counters.append(counter)
        transports.append(transport)
    await asyncio.gather(*(counter.opened for counter in counters))
    started = time.perf_counter()
    writing = asyncio.ensure_future(write)
    for _ in range(FOLLOWERS):
        await asyncio.wait_for(done.get(), 120)
    seconds = time.perf_counter() - started
    for transport in transports:
        transport.close()
    await writing
    return FOLLOWERS * events / seconds
