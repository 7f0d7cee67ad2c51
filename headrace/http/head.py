"""The head of an answer that is written past aiohttp, with what its signals would add."""

from __future__ import annotations

from aiohttp import web


async def with_signals(request: web.Request, head: bytes) -> bytes:
    """The head, with the headers that an application's `on_response_prepare` gives to every answer."""
    signals = request.app.on_response_prepare
    if not signals:
        return head
    answer = web.StreamResponse(headers={"Cache-Control": "no-store"})
    await signals.send(request, answer)
    added = [f"{name}: {value}\r\n" for name, value in answer.headers.items() if name != "Cache-Control"]
    status, _, rest = head.partition(b"\r\n")
    return status + b"\r\n" + "".join(added).encode() + rest
