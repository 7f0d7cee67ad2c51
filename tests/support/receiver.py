"""A real webhook receiver on the loopback interface: it keeps what it gets and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from headrace.signing import verify

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK = "127.0.0.0/8,::1/128"
"""Where receivers are: what a relay's `webhook_allow` must hold."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as it came. `at_s` is of the monotonic clock; `connection` tells requests of one connection."""

    headers: Mapping[str, str]
    body: bytes
    at_s: float
    connection: int
    path: str = "/hook"

    @property
    def id(self) -> str:
        """The `webhook-id`."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The body as JSON."""
        event: dict[str, Any] = orjson.loads(self.body)
        return event

    @property
    def data(self) -> Any:
        """The event's data."""
        return self.event["data"]

    def check(self, secret: str) -> None:
        """Raise `VerificationError` unless it is signed with the secret."""
        headers = self.headers
        verify(secret, self.id, headers["webhook-timestamp"], headers["webhook-signature"], self.body)


class Receiver:
    """What came, and what is answered: `answer` to everything, or what `choose` gives for a delivery."""

    def __init__(self) -> None:
        self.url = ""
        self.deliveries: list[Delivery] = []
        self.answer: Answer = status(204)
        self.choose: Callable[[Delivery], Answer | None] = lambda _: None
        self.waiting = 0
        self.most_waiting = 0

    @property
    def ids(self) -> list[str]:
        """The ids in the order in which they came."""
        return [delivery.id for delivery in self.deliveries]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep a delivery and answer it."""
        body = await request.read()
        delivery = Delivery(
            {name.lower(): value for name, value in request.headers.items()},
            body,
            time.monotonic(),
            id(request.transport),
            request.path,
        )
        self.deliveries.append(delivery)
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            return await (self.choose(delivery) or self.answer)(request)
        finally:
            self.waiting -= 1


@contextlib.asynccontextmanager
async def receiver(*, port: int = 0) -> AsyncIterator[Receiver]:
    """Run a receiver; it takes posts to any path."""
    receiving = Receiver()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/{path:.*}", receiving.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    receiving.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiving
    finally:
        await runner.cleanup()


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """A plain answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers=headers, body=body)

    return answer


def after(seconds: float, then: Answer) -> Answer:
    """A slow answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await then(request)

    return answer


def when(event: asyncio.Event, then: Answer) -> Answer:
    """An answer once something has happened."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await event.wait()
        return await then(request)

    return answer


def chunked(pieces: int, size: int, code: int = 200) -> Answer:
    """An answer in chunks."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=code)
        response.enable_chunked_encoding()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(pieces):
                await response.write(b"x" * size)
            await response.write_eof()
        return response

    return answer


async def never(request: web.Request) -> web.StreamResponse:
    """No answer at all."""
    await asyncio.Event().wait()
    raise AssertionError


async def closes(request: web.Request) -> web.StreamResponse:
    """The connection ends without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def garbage(request: web.Request) -> web.StreamResponse:
    """Bytes that are not HTTP."""
    assert request.transport is not None
    request.transport.write(b"\x16\x03\x01 is it me you are looking for?\r\n\r\n")
    request.transport.close()
    return web.Response()
