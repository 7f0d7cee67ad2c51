"""Live connections for tests, one for each transport: each gives chunks, however slowly they are asked for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
import orjson

from support.event_stream import connected

BUFFER_BYTES = 16 * 1024
"""Of a socket: one who does not read is soon felt."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events in their order, and the offset after them."""

    events: list[dict[str, Any]]
    offset: str


class Live(Protocol):
    """A connection that follows a feed."""

    async def next(self) -> Chunk | None:
        """The next chunk; None once the service has closed."""


Open = Callable[..., contextlib.AbstractAsyncContextManager[Live]]


class Sse:
    """Server-sent events."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._received = b""

    async def next(self) -> Chunk | None:
        while True:
            block, end, rest = self._received.partition(b"\n\n")
            if end:
                self._received = rest
                if (chunk := self._chunk(block.decode())) is not None:
                    return chunk
                continue
            try:
                more = await self._reader.read(2**16)
            except ConnectionError:
                return None
            if not more:
                return None  # what came of a block that is not whole counts for nothing
            self._received += more

    def _chunk(self, block: str) -> Chunk | None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if fields.get("event") == "data":
            return Chunk(orjson.loads(fields["data"]), fields["id"])
        if fields.get("event") == "control":
            return Chunk([], orjson.loads(fields["data"])["streamNextOffset"])
        return None


@contextlib.asynccontextmanager
async def sse(url: str, feed: str, offset: str, params: Mapping[str, str], credit: int) -> AsyncIterator[Live]:
    query = urlencode(params)
    async with connected(url, feed, offset, query=query, buffer_bytes=BUFFER_BYTES) as (reader, _):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        yield Sse(reader)


class Stream:
    """WebSocket without a subprotocol: a message for each event."""

    def __init__(self, messages: aiohttp.ClientWebSocketResponse) -> None:
        self._messages = messages

    async def next(self) -> Chunk | None:
        message = await self._messages.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            event = orjson.loads(message.data)
            return Chunk([event], event["nextoffset"])
        if message.type is aiohttp.WSMsgType.CLOSE and message.extra:
            return Chunk([], message.extra)  # the reason is the last position
        return None


@contextlib.asynccontextmanager
async def stream(url: str, feed: str, offset: str, params: Mapping[str, str], credit: int) -> AsyncIterator[Live]:
    async with _web_socket(f"{url}/v1/feeds/{feed}/events", {"offset": offset, **params}) as messages:
        yield Stream(messages)


class Session:
    """WebSocket with `headrace.v1`: for what was taken as much credit is given again."""

    def __init__(self, messages: aiohttp.ClientWebSocketResponse) -> None:
        self._messages = messages

    async def next(self) -> Chunk | None:
        while (message := await self._messages.receive()).type is aiohttp.WSMsgType.TEXT:
            frame = orjson.loads(message.data)
            if frame["type"] == "events":
                await self._say({"type": "credit", "id": "a", "events": len(frame["events"]), "bytes": 2**20})
                return Chunk(frame["events"], frame["offset"])
            if frame["type"] in ("subscribed", "up_to_date"):
                return Chunk([], frame["offset"])
            if frame["type"] == "blocked":
                await self._say({"type": "credit", "id": "a", "bytes": frame["needed_bytes"]})
            elif frame["type"] == "closing":
                for subscription in frame["subscriptions"]:
                    if subscription["offset"] is not None:
                        return Chunk([], subscription["offset"])
            else:
                assert frame["type"] == "heartbeat", frame
        return None

    async def _say(self, frame: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):  # what it has sent before it closed is read none the less
            await self._messages.send_str(orjson.dumps(frame).decode())


@contextlib.asynccontextmanager
async def session(url: str, feed: str, offset: str, params: Mapping[str, str], credit: int) -> AsyncIterator[Live]:
    chosen: dict[str, Any] = dict(params)
    if "partition" in chosen:
        chosen["partition"] = int(chosen["partition"])
    subscribe = {"type": "subscribe", "id": "a", "offset": offset, "credit": {"events": credit}, **chosen}
    async with _web_socket(f"{url}/v1/feeds/{feed}/events", {}, "headrace.v1") as messages:
        await messages.send_str(orjson.dumps(subscribe).decode())
        yield Session(messages)


@contextlib.asynccontextmanager
async def _web_socket(
    url: str, params: Mapping[str, str], *protocols: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    def small(address: Any) -> socket.socket:
        sock = socket.socket(*address[:3])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        return sock

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=small)) as http,
        http.ws_connect(
            url,
            params=params,
            protocols=protocols,
            max_msg_size=2**24,
            timeout=aiohttp.ClientWSTimeout(ws_close=0.5),
        ) as messages,
    ):
        yield messages


TRANSPORTS: Mapping[str, Open] = {"sse": sse, "websocket": stream, "headrace.v1": session}
