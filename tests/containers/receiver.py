"""A receiver of webhooks that runs in a container: keeps what is posted to it, and shows it at `/received`."""

from __future__ import annotations

from typing import Any

from aiohttp import web

PORT = 9000


def app() -> web.Application:
    """It answers 204 to every POST; the caller of `/received` verifies the signatures."""
    received: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        received.append({"headers": dict(request.headers), "body": await request.text()})
        return web.Response(status=204)

    async def show(request: web.Request) -> web.Response:
        return web.json_response(received)

    application = web.Application()
    application.add_routes([web.post("/", take), web.get("/received", show)])
    return application


if __name__ == "__main__":
    web.run_app(app(), port=PORT)
