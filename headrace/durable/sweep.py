"""Clearing away: streams that have expired, and the topics of those that are no more, or were never made.

Every process does it, since none of them has to be there; that two do the same harms nothing. Nobody waits for it: who
asks for an expired stream is told at once that there is none. Only the process that was to make a stream knows that it
may have failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from random import uniform

import structlog

from headrace import metrics
from headrace.durable.removal import Removal, UnknownStream
from headrace.durable.stream import Stream
from headrace.durable.table import StreamTable, now_ms

log = structlog.get_logger(__name__)

SWEEP_S = 2.0
LEFT_S = 10.0
"""For so long the topic of a deleted stream is left to whoever deleted it."""


class Sweep:
    """Looks for something to clear away every two seconds."""

    def __init__(self, table: StreamTable, removal: Removal) -> None:
        self._table = table
        self._removal = removal
        self._seen_s: dict[str, float] = {}
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S * uniform(0.5, 1.5))  # noqa: S311 - so that not all do it at once
            try:
                await self._once()
            except Exception as error:
                log.warning("streams_not_swept", reason=repr(error))
                metrics.errors.labels("streams").inc()

    async def _once(self) -> None:
        for name in list(self._table.mortal):
            stream = self._table.definitions.get(name)
            if isinstance(stream, Stream) and stream.has_expired(now_ms()):
                with contextlib.suppress(UnknownStream):
                    await self._removal.remove(name, expired=True)
        await self._removal.settle_doubts()
        now_s = time.monotonic()
        self._seen_s = {key: self._seen_s.get(key, now_s) for key in self._table.retired}
        for key, retired in list(self._table.retired.items()):
            if now_s - self._seen_s.get(key, now_s) > LEFT_S:
                await self._removal.clear(key, retired)

    async def close(self) -> None:
        """Stop."""
        self._task.cancel()
        await asyncio.wait([self._task])
