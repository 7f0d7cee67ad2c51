"""Following over a WebSocket by `headrace.v1`: what was dealt with is what may be sent anew."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
import orjson

from headrace.client.exchange import Exchange, Request
from headrace.client.page import Page
from headrace.client.problems import FeedNotFound, Unavailable, error_of

PROTOCOL = "headrace.v1"
ID = "read"
PROBLEM = {"Content-Type": "application/problem+json"}


async def websocket_pages(
    exchange: Exchange, request: Request, subscribe: Mapping[str, Any], events: int, size_bytes: int
) -> AsyncGenerator[Page, None]:
    """The pages of one connection, to its end, each of at most so many events and about so many bytes.

    The reader's pace is the pace: it is sent the next page while it deals with one, and no more. Raises what
    `Exchange.socket` does.
    """
    async with exchange.socket(request, PROTOCOL) as socket:
        await _say(socket, type="subscribe", **subscribe, credit={"events": events, "bytes": size_bytes})
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Unavailable(f"The gateway at {exchange.url} sent what is no frame of {PROTOCOL}.")
            frame = orjson.loads(message.data)
            match frame["type"]:
                case "events":
                    page = Page.of_events(frame["events"], frame["offset"], frame["up_to_date"])
                    yield page
                    await _say(socket, type="credit", events=len(page), bytes=len(page.body))
                case "subscribed" | "up_to_date":
                    yield Page(b"", frame["offset"], frame["type"] == "up_to_date")
                case "blocked":
                    await _say(socket, type="credit", bytes=frame["needed_bytes"])
                case "error":
                    problem = frame["problem"]
                    raise error_of(problem["status"], PROBLEM, orjson.dumps(problem), FeedNotFound)
                case "closing":
                    return


async def _say(socket: aiohttp.ClientWebSocketResponse, **frame: Any) -> None:
    await socket.send_str(orjson.dumps({"id": ID, **frame}).decode())
