"""A client of `headrace.v1` for tests: it knows every frame that came."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

TIMEOUT_S = 30.0

ALL_CREDIT = {"events": 2**53 - 1, "bytes": 2**53 - 1}
"""Send all there is, and leave the pace to TCP."""


@dataclass
class Talk:
    """One socket, its frames in their order, and how it was closed."""

    socket: aiohttp.ClientWebSocketResponse
    frames: list[dict[str, Any]] = field(default_factory=list)
    close_code: int | None = None
    close_reason: str = ""

    async def say(self, kind: str, **members: Any) -> None:
        named = {name.rstrip("_"): value for name, value in members.items()}
        await self.socket.send_str(orjson.dumps({"type": kind, **named}).decode())

    async def next(self) -> dict[str, Any] | None:
        """The next frame; None once the socket is closed."""
        message = await self.socket.receive(TIMEOUT_S)
        if message.type is aiohttp.WSMsgType.TEXT:
            self.frames.append(orjson.loads(message.data))
            return self.frames[-1]
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED), message
        if self.close_code is None:
            self.close_code, self.close_reason = message.data, message.extra or ""
        return None

    async def hear(self, kind: str, frame_id: str | None = None) -> dict[str, Any]:
        """The next frame of a kind, and of an id where one is given; what comes before it is kept in `frames`."""
        while (frame := await self.next()) is not None:
            if frame["type"] == kind and frame_id in (None, frame.get("id")):
                return frame
        raise AssertionError(f"closed with {self.close_code} before {kind}: {self.frames[-3:]}")

    async def values(self, count: int, frame_id: str) -> list[Any]:
        """The data of all events of a subscription, once there are `count`."""
        while len(found := self.seen(frame_id)) < count:
            await self.hear("events", frame_id)
        return found

    def seen(self, frame_id: str) -> list[Any]:
        """The data of the events that have come."""
        return [event["data"] for event in self.events(frame_id)]

    def events(self, frame_id: str) -> list[dict[str, Any]]:
        """The events that have come."""
        return [event for f in self.frames if f["type"] == "events" and f["id"] == frame_id for event in f["events"]]

    async def closed(self) -> int | None:
        """The code that it is closed with."""
        while await self.next() is not None:
            pass
        return self.close_code

    async def quiet(self) -> None:
        """All that the service had to say is heard: frames are answered in their order."""
        await self.say("ping", id="quiet?")
        await self.hear("pong", "quiet?")


@contextlib.asynccontextmanager
async def talking(url: str, feed: str, **options: Any) -> AsyncIterator[Talk]:
    """A socket on the URL of a feed."""
    timeout = aiohttp.ClientWSTimeout(ws_close=5.0)
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(
            f"{url}/v1/feeds/{feed}/events",
            protocols=("headrace.v1",),
            timeout=timeout,
            max_msg_size=2**24,
            **options,
        ) as socket,
    ):
        assert socket.protocol == "headrace.v1"
        yield Talk(socket)
