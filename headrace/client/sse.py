"""Following by server-sent events: one request, and a page for each chunk that the gateway sends."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import orjson

from headrace.client.exchange import Exchange, Request
from headrace.client.page import Page

SILENCE_S = 90.0
"""A quiet stream has a heartbeat every 20 s."""


async def sse_pages(exchange: Exchange, request: Request) -> AsyncGenerator[Page, None]:
    """The pages of one connection, to its end. Raises what `Exchange.open` does."""
    events = b"[]"
    received = b""
    async with exchange.open(request) as answer:
        async for chunk in answer.content.iter_any():
            *blocks, received = (received + chunk).split(b"\n\n")
            for block in blocks:
                fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
                if fields.get(b"event") == b"data":
                    events = fields[b"data"]
                elif fields.get(b"event") == b"control":
                    # Each chunk ends with one: what broke off before it is asked for again.
                    said = orjson.loads(fields[b"data"])
                    yield Page.of_array(events, said["streamNextOffset"], said.get("upToDate", False))
                    events = b"[]"
