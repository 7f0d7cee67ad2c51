"""The life of a service: start its parts, serve, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Protocol

import orjson
import structlog
import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from headrace import logs
from headrace.http.problems import problem_details
from headrace.settings import Settings

log = structlog.get_logger(__name__)


class Part(Protocol):
    """Something that a service is put together from: a group of routes, with what they need to run."""

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Its routes."""

    async def start(self) -> None:
        """Connect and load; the service listens only after all its parts have started."""

    def trouble(self) -> str | None:
        """Why it is not ready, or None."""

    async def drain(self) -> None:
        """End what lives long (followers, loops) so that the server can close; new requests are not taken any more."""

    async def close(self) -> None:
        """Give back what it holds."""


def build_app(parts: Sequence[Part]) -> web.Application:
    """One application of all the parts, with `/metrics`, `/healthz` and `/readyz`."""
    app = web.Application(middlewares=[problem_details])

    async def ready(request: web.Request) -> web.Response:
        troubles = [trouble for part in parts if (trouble := part.trouble()) is not None]
        body = orjson.dumps({"ready": not troubles, "troubles": troubles})
        return web.Response(status=503 if troubles else 200, body=body, content_type="application/json")

    app.add_routes([web.get("/healthz", _healthy), web.get("/readyz", ready), web.get("/metrics", _metrics)])
    for part in parts:
        app.add_routes(part.routes())
    return app


async def _healthy(request: web.Request) -> web.Response:
    return web.Response(body=b'{"alive":true}', content_type="application/json")


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def run_service(name: str, settings: Settings, port: int, make_parts: Callable[[], Sequence[Part]]) -> None:
    """Run until SIGTERM or SIGINT, then drain for at most `settings.drain_s`. Blocks.

    `make_parts` is called on the event loop. Raises `OSError` where the port is taken.
    """
    logs.configure(settings.log_level, settings.log_format)
    uvloop.run(_serve(name, settings, port, make_parts))


async def _serve(name: str, settings: Settings, port: int, make_parts: Callable[[], Sequence[Part]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parts = make_parts()
    started: list[Part] = []
    runner: web.AppRunner | None = None
    try:
        for part in parts:
            started.append(part)
            if await _unless(stop, part.start()):
                return
        runner = web.AppRunner(
            build_app(parts),
            access_log=None,
            shutdown_timeout=settings.drain_s,
            auto_decompress=False,  # whoever takes bodies inflates them under a cap of its own
        )
        await runner.setup()
        await web.TCPSite(runner, settings.host, port, backlog=4096, reuse_port=False).start()
        log.info("listening", service=name, host=settings.host, port=port)
        await stop.wait()
        log.info("draining", service=name)
    finally:
        for part in started:
            await part.drain()
        if runner is not None:
            await runner.cleanup()
        for part in reversed(started):
            await part.close()
        log.info("stopped", service=name)


async def _unless(stop: asyncio.Event, starting: Coroutine[None, None, None]) -> bool:
    """Wait for a start, or for the stop that comes first; True where that is so."""
    task = asyncio.ensure_future(starting)
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        stopped.cancel()
        task.result()
        return False
    task.cancel()
    return True
