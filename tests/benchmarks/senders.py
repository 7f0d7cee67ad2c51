"""What a relay's client is measured by: the same request sent by others, without signing, reading or noting a thing.

`python -m benchmarks.senders aiohttp|protocol <port> <count>`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import cast

import aiohttp
import orjson
import uvloop

from benchmarks.connection import post
from benchmarks.events import event

CONCURRENCY = 64
BODY = orjson.dumps({"specversion": "1.0", "id": "0", "source": "/bench", "type": "bench", "data": event(1)})


def command(sender: str, port: int, count: int) -> list[str]:
    """The command that posts `count` times."""
    return [sys.executable, "-m", "benchmarks.senders", sender, str(port), str(count)]


async def with_aiohttp(port: int, count: int) -> None:
    """aiohttp's client, its limits of connections switched off."""
    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for _ in numbers:
                async with session.post(f"http://127.0.0.1:{port}/", data=BODY) as answer:
                    await answer.read()

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


class _Bare(asyncio.Protocol):
    """Sends the next request when something came: the least that any client on asyncio does."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._request = post("/", BODY)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._next()

    def _next(self) -> None:
        if next(self._numbers, None) is None:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._transport.write(self._request)


async def with_protocol(port: int, count: int) -> None:
    """A bare asyncio protocol."""
    numbers = iter(range(count))
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: _Bare(numbers), "127.0.0.1", port) for _ in range(CONCURRENCY)]
    await asyncio.gather(*(protocol.done for _, protocol in opened))


if __name__ == "__main__":
    send = {"aiohttp": with_aiohttp, "protocol": with_protocol}[sys.argv[1]]
    uvloop.run(send(int(sys.argv[2]), int(sys.argv[3])))
