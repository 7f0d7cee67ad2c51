"""Followers of a live feed for tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import orjson

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass
class Stream:
    """A follower as an EventSource is one: it knows the events, the last id, and the blocks as they came."""

    values: list[Any] = field(default_factory=list)
    controls: list[dict[str, Any]] = field(default_factory=list)
    comments: int = 0
    last_id: str = ""
    head: bytes = b""
    farewell: dict[str, Any] | None = None
    closed: bool = False

    async def read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            self.head = await reader.readuntil(b"\r\n\r\n")
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    self.take((await reader.readuntil(b"\n\n")).decode())
        self.closed = True

    def take(self, block: str) -> None:
        fields: dict[str, str] = {}
        for line in block.strip("\n").split("\n"):
            if line.startswith(":"):
                self.comments += 1
                continue
            name, _, value = line.partition(": ")
            assert name not in fields, block
            fields[name] = value
        self.last_id = fields.get("id", self.last_id)
        if fields.get("event") == "data":
            assert "id" in fields
            self.values += [event["data"] for event in orjson.loads(fields["data"])]
        elif fields.get("event") == "control":
            self.controls.append(orjson.loads(fields["data"]))
            assert self.controls[-1]["streamNextOffset"] >= self.last_id
        elif fields.get("event") == "disconnect":
            self.farewell = orjson.loads(fields["data"])


@contextlib.asynccontextmanager
async def connected(
    url: str,
    feed: str,
    offset: str = "-1",
    *,
    last_id: str = "",
    query: str = "",
    headers: Mapping[str, str] = NONE,
    buffer_bytes: int | None = None,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw connection that asks for the live feed."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    assert host is not None
    sock = socket.socket()
    if buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=buffer_bytes or 2**24)
    named = {**headers, **({"Last-Event-ID": last_id} if last_id else {})}
    more = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    writer.write(
        f"GET /v1/feeds/{feed}/events?live=sse&offset={offset}&{query} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()
    )
    try:
        yield reader, writer
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def following(
    url: str, feed: str, offset: str = "-1", *, last_id: str = "", query: str = ""
) -> AsyncIterator[Stream]:
    """A follower that reads all that comes."""
    stream = Stream()
    async with connected(url, feed, offset, last_id=last_id, query=query) as (reader, _):
        task = asyncio.ensure_future(stream.read(reader))
        try:
            yield stream
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() or task.exception() is None
