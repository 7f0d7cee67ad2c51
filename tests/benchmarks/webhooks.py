"""Webhooks end to end: written to Kafka, read by the relay, signed, posted, answered."""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import cast

import orjson
import uvloop
from confluent_kafka import Producer

from benchmarks.events import FEED, event, make_topic, produce
from benchmarks.figure import Figure
from benchmarks.processes import feeds, process, service

EVENTS = 30_000
PACED_PER_S = 1000
PACED_S = 10
CONCURRENCY = 64
ALLOWED = {"HEADRACE_WEBHOOK_ALLOW": "127.0.0.0/8"}

AIOHTTP_ALONE = """
import asyncio, sys, aiohttp, uvloop
async def main(port, count, body):
    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def work():
            for _ in numbers:
                async with session.post(f"http://127.0.0.1:{port}/", data=body) as answer:
                    await answer.read()
        await asyncio.gather(*(work() for _ in range(64)))
uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()))
"""


class Receiver:
    """Answers every request with 204 and notes when each event number came first."""

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}
        self.requests = 0
        self.first_s = self.last_s = 0.0

    async def start(self) -> int:
        """Listen on a free port."""
        server = await asyncio.get_running_loop().create_server(lambda: _Exchange(self), "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def take(self, body: bytes) -> None:
        """Note a request."""
        now = time.time()
        self.requests += 1
        self.first_s = self.first_s or now
        self.last_s = now
        at = body.find(b'"number":')
        if at >= 0:
            self.seen.setdefault(int(body[at + 9 : body.index(b",", at)]), now)


class _Exchange(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            at = head.index(b"content-length:") + 15
            size = int(head[at:].split(b"\r\n", 1)[0])
            if len(self._data) < end + 4 + size:
                return
            self._receiver.take(self._data[end + 4 : end + 4 + size])
            self._data = self._data[end + 4 + size :]
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


def run(bootstrap_servers: str) -> list[Figure]:
    """Deliveries a second, and the time from written to delivered at a steady rate."""
    make_topic(bootstrap_servers, "bench")
    with (
        feeds(bench=FEED) as environ,
        service("serve", bootstrap_servers, **environ, **ALLOWED) as serve,
        service("relay", bootstrap_servers, **environ, **ALLOWED),
    ):
        return uvloop.run(_measure(bootstrap_servers, serve))


async def _measure(bootstrap_servers: str, serve: int) -> list[Figure]:
    receiver = Receiver()
    port = await receiver.start()
    await asyncio.to_thread(_subscribe, serve, f"http://127.0.0.1:{port}/")
    await asyncio.to_thread(produce, bootstrap_servers, "bench", EVENTS)
    await _until(lambda: len(receiver.seen) == EVENTS)
    rate = EVENTS / (receiver.last_s - receiver.first_s)
    repeats = receiver.requests - EVENTS

    receiver.seen.clear()
    written = await asyncio.to_thread(_pace, bootstrap_servers)
    await _until(lambda: written.keys() <= receiver.seen.keys())
    latencies_ms = sorted(1000 * (receiver.seen[n] - at) for n, at in written.items())
    p50, p99 = latencies_ms[len(latencies_ms) // 2], latencies_ms[int(0.99 * len(latencies_ms))]

    alone = Receiver()
    port = await alone.start()
    body = orjson.dumps({"specversion": "1.0", "id": "0", "source": "/bench", "type": "bench", "data": event(1)})
    command = [sys.executable, "-c", AIOHTTP_ALONE, str(port), str(EVENTS // 2), body.decode()]
    with process(command, {}):
        await _until(lambda: alone.requests == EVENTS // 2)
    reference = alone.requests / (alone.last_s - alone.first_s)
    note = f"{repeats} repeats; at {PACED_PER_S:,}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    return [
        Figure("webhooks, written, signed and delivered", rate, "aiohttp's client alone, unsigned", reference, note)
    ]


def _subscribe(serve: int, url: str) -> None:
    body = orjson.dumps({"feed": "bench", "url": url})
    request = urllib.request.Request(f"http://127.0.0.1:{serve}/v1/subscriptions", body, method="POST")
    with urllib.request.urlopen(request) as answer:
        name = orjson.loads(answer.read())["id"]
    with urllib.request.urlopen(f"http://127.0.0.1:{serve}/v1/subscriptions/{name}") as answer:
        assert orjson.loads(answer.read())["status"] is not None, "no relay runs the subscription"


def _pace(bootstrap_servers: str) -> dict[int, float]:
    """Write at a steady rate; when each event number was handed over."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 2})
    producer.produce("bench", b'{"number":-1,"key":""}', "warm")  # connects before the clock runs
    producer.flush(10)
    written: dict[int, float] = {}
    began = time.time()
    for number in range(PACED_PER_S * PACED_S):
        due = began + number / PACED_PER_S
        while (left := due - time.time()) > 0:
            time.sleep(min(left, 0.001))
        written[number] = time.time()
        producer.produce("bench", orjson.dumps(event(number)), str(number))
        producer.poll(0)
    producer.flush(10)
    return written


async def _until(condition: Callable[[], bool], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not all was delivered"
        await asyncio.sleep(0.05)
