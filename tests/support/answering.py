"""A gateway that answers as it is told: for tests of the client."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def answering(*handlers: Handler) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A server whose requests are taken by one handler after the other, and then by the last; its URL and its log."""
    requests: list[web.Request] = []

    async def take(request: web.Request) -> web.StreamResponse:
        await request.read()
        requests.append(request)
        return await handlers[min(len(requests), len(handlers)) - 1](request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", requests
    finally:
        await runner.cleanup()


def told(body: Any, status: int = 200, **headers: str) -> Handler:
    """An answer in JSON; an underscore in a header's name is a hyphen."""

    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=named)

    return answer


async def cut_off(request: web.Request) -> web.StreamResponse:
    """The connection ends without an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()
