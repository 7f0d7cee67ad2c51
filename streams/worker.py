"""The worker: runs a Faust app as a service, and ends when the app can't go on."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import structlog
from aiohttp import web

from headrace.errors import Misconfigured
from headrace.kafka.admin import admin_client
from headrace.kafka.offsets import KafkaUnavailable, Offsets
from headrace.kafka.topics import ensure_topics
from headrace.schemas.catalogue import Catalogue
from headrace.settings import WorkerSettings
from headrace.streams.app import StreamApp
from headrace.streams.watchdog import Watchdog

log = structlog.get_logger(__name__)

WATCH_S = 5.0

AddTo = Callable[[StreamApp, WorkerSettings], None]


class BadApp(Misconfigured):
    """`HEADRACE_APP` names nothing that can be run; the message says what is expected."""


class Worker:
    """The part of a service that runs stream processors. A member of the consumer group `settings.group`."""

    def __init__(self, settings: WorkerSettings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._add_to = load_app(settings.app)
        self._data_dir = tempfile.TemporaryDirectory(prefix="headrace-worker-")
        self._app: StreamApp | None = None

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """None of its own."""
        return []

    async def start(self) -> None:
        """Make the topics that are missing, and join the group."""
        admin = admin_client(self._settings.kafka())
        specs = [entry.feed.topic_spec() for entry in self._catalogue.values()]
        await ensure_topics(admin, specs, replication_factor=self._settings.replication_factor)
        self._offsets = Offsets(admin)
        app = StreamApp(self._settings, self._catalogue, self._data_dir.name)
        self._add_to(app, self._settings)
        self._app = app
        await app.start()

    def trouble(self) -> str | None:
        """Why nothing would be processed now."""
        if self._app is None:
            return "the worker has not started"
        if self._app.failure.done():
            return f"the worker stops: {self._app.failure.result()!r}"
        return "the partitions are being assigned" if self._app.rebalancing else None

    async def failed(self) -> None:
        """Wait until it can't go on; raises what stopped it."""
        app = self._app
        assert app is not None
        crashed: asyncio.Future[Any] = asyncio.ensure_future(app._crashed.wait())
        stalled: asyncio.Future[None] = asyncio.ensure_future(self._stall(app))
        ends: set[asyncio.Future[Any]] = {crashed, stalled, app.failure}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if app.failure.done():
                raise app.failure.result()
            if stalled.done():
                stalled.result()
            raise app.crash_reason or RuntimeError("Faust crashed, and does not say why")
        finally:
            crashed.cancel()
            stalled.cancel()

    async def _stall(self, app: StreamApp) -> None:
        """Raise `Stalled` when the log grows and no position moves: workers have been seen to hang in silence."""
        watchdog = Watchdog(self._settings.stalled_s)
        while True:
            await asyncio.sleep(WATCH_S)
            committed = app.committed()
            try:
                watchdog.look(time.monotonic(), committed, await self._ends(committed))
            except KafkaUnavailable as error:
                log.warning("ends_unknown", reason=str(error))

    async def _ends(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        counts: dict[str, int] = {}
        for topic, partition in partitions:
            counts[topic] = max(counts.get(topic, 0), partition + 1)
        ends = {topic: await self._offsets.ends(topic, count) for topic, count in counts.items()}
        return {(topic, partition): ends[topic][partition] for topic, partition in partitions}

    async def drain(self) -> None:
        """Finish the batch in work, commit, and leave the group."""
        if self._app is not None:
            await self._app.stop()

    async def close(self) -> None:
        """Leave Kafka."""
        if self._app is not None:
            await self._app.close()
        self._data_dir.cleanup()


def load_app(name: str) -> AddTo:
    """The function `module:function` that adds processors to an app; raises `BadApp`."""
    module, _, function = name.partition(":")
    try:
        found: AddTo = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadApp(
            f"HEADRACE_APP={name}: {error}. It is `module:function`; the function takes a StreamApp and the settings."
        ) from error
    return found
