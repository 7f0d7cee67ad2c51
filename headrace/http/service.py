"""The life of a service: start its parts, serve, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import orjson
import structlog
import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from headrace import logs
from headrace.access.parts import access_parts
from headrace.http import operations
from headrace.http.problems import problem_details
from headrace.openapi.operation import Operation
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


@runtime_checkable
class MayFail(Part, Protocol):
    """A part that can come to an end by itself."""

    async def failed(self) -> None:
        """Wait until it can't go on, and raise why. Called once it has started."""


@runtime_checkable
class Surrounds(Part, Protocol):
    """A part that stands before the handlers of all parts."""

    def install(self, app: web.Application) -> None:
        """Add its middleware and signals; after those of parts before it."""


@runtime_checkable
class Described(Part, Protocol):
    """A part whose routes are for callers outside, and stand in the description of the API."""

    def operations(self) -> Iterable[Operation]:
        """What is to be said of each of its routes."""


OPERATIONS: web.AppKey[tuple[Operation, ...]] = web.AppKey("operations", tuple)
"""What an application says of its routes."""


def build_app(parts: Sequence[Part]) -> web.Application:
    """One application of all the parts, with `/metrics`, `/healthz` and `/readyz`."""
    app = web.Application(middlewares=[problem_details])

    async def ready(request: web.Request) -> web.Response:
        troubles = [trouble for part in parts if (trouble := part.trouble()) is not None]
        body = orjson.dumps({"ready": not troubles, "troubles": troubles})
        return web.Response(status=503 if troubles else 200, body=body, content_type="application/json")

    for part in parts:
        if isinstance(part, Surrounds):
            part.install(app)
    app.add_routes([web.get("/healthz", _healthy), web.get("/readyz", ready), web.get("/metrics", _metrics)])
    for part in parts:
        app.add_routes(part.routes())
    described = (operation for part in parts if isinstance(part, Described) for operation in part.operations())
    app[OPERATIONS] = (*operations.OPERATIONS, *described)
    return app


async def _healthy(request: web.Request) -> web.Response:
    return web.Response(body=b'{"alive":true}', content_type="application/json")


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def run_service(name: str, settings: Settings, port: int, make_parts: Callable[[], Sequence[Part]]) -> None:
    """Run until SIGTERM or SIGINT, or until a part fails; then drain for at most `settings.drain_s`. Blocks.

    `make_parts` is called on the event loop; what checks access comes before its parts. Raises `Misconfigured`,
    `OSError` where the port is taken, `SystemExit` 1 after a failure.
    """
    logs.configure(settings.log_level, settings.log_format)
    # Followers and webhook requests each hold a descriptor: take as many as the system allows.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Thousands of short-lived objects come with every page of events; looked through at each 700, as by default, those
    # that stay (rings, caches) are walked again and again: a quarter of the time of reading.
    gc.set_threshold(50_000, 20, 100)
    failure = uvloop.run(_serve(name, settings, port, make_parts))
    if failure is not None:
        log.error("service_failed", service=name, exc_info=failure)
        raise SystemExit(1)


async def _serve(
    name: str, settings: Settings, port: int, make_parts: Callable[[], Sequence[Part]]
) -> BaseException | None:
    stop, listening = asyncio.Event(), asyncio.Event()

    async def serve() -> BaseException | None:
        parts = [*access_parts(settings), *make_parts()]
        async with serving(parts, host=settings.host, port=port, drain_s=settings.drain_s):
            listening.set()
            log.info("listening", service=name, host=settings.host, port=port)
            failure = await _first_failure(parts, stop)
            log.info("draining", service=name)
        return failure

    task = asyncio.ensure_future(serve())

    def on_signal() -> None:
        stop.set()
        if not listening.is_set():
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    try:
        return await task
    except asyncio.CancelledError:
        return None
    finally:
        log.info("stopped", service=name)


async def _first_failure(parts: Sequence[Part], stop: asyncio.Event) -> BaseException | None:
    """Wait for the stop, or for a part that can't go on; then why."""
    stopping = asyncio.ensure_future(stop.wait())
    failing = [asyncio.ensure_future(part.failed()) for part in parts if isinstance(part, MayFail)]
    await asyncio.wait([stopping, *failing], return_when=asyncio.FIRST_COMPLETED)
    failure = next((task.exception() for task in failing if task.done()), None)
    for task in (stopping, *failing):
        task.cancel()
    return failure


@contextlib.asynccontextmanager
async def serving(parts: Sequence[Part], *, host: str, port: int, drain_s: float) -> AsyncIterator[int]:
    """Start the parts, then listen; at the end drain and close them. Gives the port, a free one for 0."""
    started: list[Part] = []
    runner: web.AppRunner | None = None
    try:
        for part in parts:
            started.append(part)
            await part.start()
        runner = web.AppRunner(
            build_app(parts),
            access_log=None,
            handler_cancellation=True,  # a long poll ends with its client
            shutdown_timeout=drain_s,
            auto_decompress=False,  # whoever takes bodies inflates them under a cap of its own
        )
        await runner.setup()
        site = web.TCPSite(runner, host, port, backlog=4096, reuse_port=False)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        for part in started:
            await part.drain()
        if runner is not None:
            await runner.cleanup()
        for part in reversed(started):
            await part.close()
