"""1,000 clients that stop reading under load cost little, hold up nobody, and get everything later."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import selectors
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest
from confluent_kafka import Producer
from support.event_stream import following
from support.waiting import until

CLIENTS = 1000
MOST_GROWTH_BYTES = 150 * 2**20
"""Beyond what the process had with all of them connected and nothing to send: 150 KB for each."""

PADDING = "x" * 900
EVENT = b'x"]'
"""How the data of each ends: counted there, all of it has come."""
NUMBER = re.compile(rb'"data":\[(\d+),')


@contextlib.asynccontextmanager
async def serving(kafka: str, feeds: Path, tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    """`headrace serve` as a process of its own; gives its URL and process id."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    environ = {
        **os.environ,
        "HEADRACE_BOOTSTRAP_SERVERS": kafka,
        "HEADRACE_FEEDS": str(feeds),
        "HEADRACE_SERVE_PORT": str(port),
        "HEADRACE_LIVE_S": "600",
    }
    with (tmp_path / "serve.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace", "serve", env=environ, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as http:

            async def ready() -> bool:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{url}/readyz") as answer:
                        return answer.status == 200
                return False

            await until(ready)
        yield url, process.pid
    finally:
        process.terminate()
        await process.wait()


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def connect(url: str, feed: str, offset: str) -> socket.socket:
    """A client that asks, and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((urlsplit(url).hostname, urlsplit(url).port))
    sock.sendall(f"GET /v1/feeds/{feed}/events?live=sse&offset={offset} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


def read_all(clients: list[socket.socket], events: int, deadline_s: float) -> list[list[int]]:
    """Read until every client has so many events; gives the numbers that the first ten have seen. Blocks."""
    counts, carried = dict.fromkeys(clients, 0), dict.fromkeys(clients, b"")
    whole: dict[socket.socket, bytearray] = {client: bytearray() for client in clients[:10]}
    deadline = time.monotonic() + deadline_s
    with selectors.DefaultSelector() as ready:
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
            client.setblocking(False)
            ready.register(client, selectors.EVENT_READ, client)
        while ready.get_map():
            assert time.monotonic() < deadline, (
                f"{len(ready.get_map())} have not caught up, of them {min(counts.values())}"
            )
            for key, _ in ready.select(1.0):
                client = key.data
                chunk = client.recv(2**18)
                assert chunk, "it was disconnected"
                if client in whole:
                    whole[client] += chunk
                text = carried[client] + chunk
                counts[client] += text.count(EVENT)
                carried[client] = text[-len(EVENT) + 1 :]
                if counts[client] >= events:
                    ready.unregister(client)
    assert set(counts.values()) == {events}
    return [[int(number) for number in NUMBER.findall(seen)] for seen in whole.values()]


@pytest.mark.parametrize(
    ("load_s", "rate"), [(8, 300), pytest.param(60, 100, marks=pytest.mark.long)], ids=["short", "a-minute"]
)
async def test_1000_stalled_clients_cost_little_and_catch_up(
    kafka: str, feeds: Path, make_feed: Callable[..., str], tmp_path: Path, load_s: int, rate: int
) -> None:
    feed = make_feed()
    events = load_s * rate
    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True, "linger.ms": 5})
    async with serving(kafka, feeds, tmp_path) as (url, pid), aiohttp.ClientSession() as http:

        async def followers(**params: str) -> dict[str, Any]:
            async with http.get(f"{url}/v1/followers", params={"limit": "1", **params}) as answer:
                return dict(await answer.json())

        async def all_there() -> bool:
            return bool((await followers())["total"] == CLIENTS + 1)

        # By its token, a position needs no question to Kafka.
        async with http.get(f"{url}/v1/feeds/{feed}") as answer:
            offset = (await answer.json())["next_offset"]
        async with following(url, feed, offset) as quick:
            clients = [await asyncio.to_thread(connect, url, feed, offset) for _ in range(CLIENTS)]
            try:
                await until(all_there, 60)
                before = most = resident_bytes(pid)
                for second in range(load_s):
                    began_s = time.monotonic()
                    for number in range(second * rate, (second + 1) * rate):
                        producer.produce(feed, orjson.dumps([number, PADDING]))
                    await asyncio.to_thread(producer.flush, 30)
                    # Whoever reads is served at once, whatever the others do.
                    await until(lambda second=second: len(quick.values) == (second + 1) * rate, 20)  # type: ignore[misc]
                    most = max(most, resident_bytes(pid))
                    await asyncio.sleep(max(0.0, began_s + 1 - time.monotonic()))  # the load is by the second
                slow = await followers(slow="true")
                grown, waiting = most - before, slow["bytes_waiting"]
                print(f"grown by {grown >> 20} MB, {slow['total']} full, {waiting >> 20} MB wait")
                assert slow["total"] == CLIENTS
                assert grown < MOST_GROWTH_BYTES
                for seen in await asyncio.to_thread(read_all, clients, events, 240.0):
                    assert seen == list(range(events))
                most = max(most, resident_bytes(pid))
                print(f"grown by {(most - before) >> 20} MB once they have caught up")
                assert most - before < 2 * MOST_GROWTH_BYTES
                assert (await followers())["total"] == CLIENTS + 1
            finally:
                for client in clients:
                    client.close()
