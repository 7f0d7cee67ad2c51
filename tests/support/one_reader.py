"""One reader that goes from transport to transport with nothing but its offset, and the gateways that it asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import orjson

from headrace.consumers.core.position import Position, widen
from headrace.consumers.reading import Reading
from headrace.durable.token import decode_token
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import ServeSettings
from support.live import TRANSPORTS, Chunk, Live
from support.running import service
from support.written_log import Choice, WrittenLog

T = TypeVar("T")

DEADLINE_S = 30.0
ALL = Choice()


async def within(awaitable: Awaitable[T], what: str) -> T:
    """The outcome; raises AssertionError that names what was waited for, when it takes too long."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE_S:g} s for {what}") from None


class Gateway:
    """A gateway that may be started anew, at another address."""

    def __init__(self, kafka: str, feeds: Path, ring_bytes: int) -> None:
        self._settings = ServeSettings(
            bootstrap_servers=kafka,
            feeds=feeds,
            ring_bytes=ring_bytes,
            history_consumers=2,
            long_poll_s=0.2,
            heartbeat_s=0.2,
            live_s=3.0,
        )
        self._running = contextlib.AsyncExitStack()
        self.url = ""

    async def start(self) -> None:
        reading = Reading(self._settings, load_catalogue(self._settings))
        self.url = await self._running.enter_async_context(service(reading))

    async def stop(self) -> None:
        await self._running.aclose()


class OneReader:
    """Reads a log of which all is known, and compares each chunk with it as it comes.

    It carries its offset from one read to the next, and nothing else. Each chunk has to hold the wanted events between
    the offset before and its own: all of them, once, those of a partition in order.
    """

    def __init__(self, log: WrittenLog, http: aiohttp.ClientSession) -> None:
        self._log = log
        self._http = http
        self._offset = "-1"
        self._choice = ALL
        self._live: Live | None = None
        self._connection = contextlib.AsyncExitStack()
        self.position: Position = ()

    # Pages

    async def pull(self, url: str, choice: Choice, **params: int) -> None:
        """Read one page."""
        await self.leave()
        await self._page(url, choice, params)

    async def long_poll(self, url: str, choice: Choice, **params: int) -> None:
        """Read one page as soon as there is an event."""
        await self.leave()
        await self._page(url, choice, {"live": "long-poll", **params})

    async def _page(self, url: str, choice: Choice, params: dict[str, Any]) -> None:
        query = {"offset": self._offset, **choice.params(), **params}
        try:
            async with self._http.get(f"{url}/v1/feeds/{self._log.topic}/events", params=query) as answer:
                body = await answer.read()
        except aiohttp.ClientError:
            return  # the gateway is being restarted
        assert answer.status in (200, 204), body
        events = orjson.loads(body or b"[]")
        assert len(events) <= params["limit"]
        self._take(Chunk(events, answer.headers["Stream-Next-Offset"]), choice)

    # Live

    @property
    def is_live(self) -> bool:
        """Whether it has a connection, which it reads or not."""
        return self._live is not None

    async def follow(self, transport: str, url: str, choice: Choice, credit: int) -> None:
        """Open a live connection, and read nothing of it yet."""
        await self.leave()
        opening = TRANSPORTS[transport](url, self._log.topic, self._offset, choice.params(), credit)
        self._live = await self._connection.enter_async_context(opening)
        self._choice = choice

    async def take(self, chunks: int) -> int:
        """Read chunks of the connection, as long as there are wanted events that it has not had.

        How many it may still read; none where the service has closed.
        """
        while chunks and self._live is not None and self._log.has_more(self._widened, self._choice):
            chunk = await self._live.next()
            if chunk is None:
                await self.leave()
            else:
                self._take(chunk, self._choice)
                chunks -= bool(chunk.events)
        return chunks if self.is_live else 0

    async def leave(self) -> None:
        """Close the connection, whatever of it was not read."""
        self._live = None
        await self._connection.aclose()

    # What has to hold

    @property
    def _widened(self) -> Position:
        return widen(self.position, len(self._log.partitions))

    def _take(self, chunk: Chunk, choice: Choice) -> None:
        after, _ = decode_token(chunk.offset)
        assert len(after) >= len(self.position), "the offset has lost a partition"
        before = widen(self.position, len(after))
        assert all(new >= old for new, old in zip(after, before, strict=True)), f"back from {before} to {after}"
        assert all(at <= end for at, end in zip(after, self._log.end, strict=False)), f"{after} is beyond the end"
        seen: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for event in chunk.events:
            seen[event["partition"]].append((int(event["sequence"]), event["data"]["n"]))
        expected = self._log.between(before, after, choice)
        found = [seen[p] for p in range(len(after))]
        assert found == expected, f"from {before} to {after}"
        self._offset, self.position = chunk.offset, after
