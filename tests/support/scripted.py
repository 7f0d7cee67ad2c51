"""Servers that play scripts, byte by byte, on both event loops: for tests of the relay's HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest
import uvloop

from headrace.consumers.relay.connection import Answer
from headrace.consumers.relay.guard import Guard
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.target import Target

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

Script = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LOOPBACK = Guard([ip_network("127.0.0.0/8"), ip_network("::1/128")])

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on asyncio's loop and on uvloop, which services run on.

    `client`, where a test has it, has a deadline of a second and may go to this machine.
    """

    parameters = inspect.signature(test).parameters

    @functools.wraps(test)
    def run(*args: Any, loop: str, **kwargs: Any) -> None:
        async def main() -> None:
            with contextlib.closing(HttpClient(1.0, guard=LOOPBACK)) as client:
                await test(*([client] if "client" in parameters else []), *args, **kwargs)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(main())

    del run.__wrapped__
    own = [p for name, p in parameters.items() if name != "client"]
    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = inspect.Signature([*own, loop])  # type: ignore[attr-defined]
    both: Callable[..., None] = pytest.mark.parametrize("loop", LOOPS)(run)
    return both


class Server:
    """Plays a script on every connection."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.target = Target.of("http://127.0.0.1:1/")
        self.connections = 0
        self.open = 0
        self.requests: list[bytes] = []

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            await self._script(self, reader, writer)
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            pass  # the client has gone; uvloop says so by RuntimeError
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """The next request, head and body."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
        self.requests.append(head + await reader.readexactly(length))
        return self.requests[-1]


@contextlib.asynccontextmanager
async def playing(
    script: Script,
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    server = Server(script)
    listening = await asyncio.start_server(server.play, host, 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    server.target = Target.of(f"{'https' if tls else 'http'}://{name}:{port}/hook?a=b")
    try:
        yield server
    finally:
        listening.close()


async def post(client: HttpClient, server: Server, body: bytes = b"{}") -> Answer:
    return await client.post(server.target, {"webhook-id": "1"}, body)


def answering(*answers: bytes) -> Script:
    """Answers the requests of a connection one after another, the last answer for ever."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers[:-1]:
            await server.request(reader)
            writer.write(answer)
        while True:
            await server.request(reader)
            writer.write(answers[-1])

    return script


def closing(*pieces: bytes) -> Script:
    """Answers one request, piece by piece, and closes."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return script


def dripping(pieces: bytes, every_s: float) -> Script:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        for index in range(len(pieces)):
            writer.write(pieces[index : index + 1])
            await writer.drain()
            await asyncio.sleep(every_s)

    return script
