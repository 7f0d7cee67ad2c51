"""The replay: sources, one after the other, into their feeds, each from where it stands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from headrace import metrics
from headrace.kafka.admin import admin_client
from headrace.kafka.bridge import ProducerBridge
from headrace.kafka.offsets import Offsets
from headrace.kafka.topics import ensure_topics
from headrace.producers.replay.chunks import Chunks
from headrace.producers.replay.encode import Ready
from headrace.producers.replay.pace import Pace
from headrace.producers.replay.progress import Progress
from headrace.producers.replay.resume import Place, look_back
from headrace.producers.replay.row import Source, SourceError, Unfit
from headrace.producers.replay.sender import NotAcknowledged, Sender
from headrace.schemas.catalogue import Entry
from headrace.schemas.event import now
from headrace.settings import SourceSettings

NAP_S = 0.25
"""Longest wait for a row's time before acknowledgements and the call to stop are looked at."""


@dataclass(frozen=True, slots=True)
class Job:
    """A source to be replayed into a feed; `speed` None is as fast as it goes, `limit` None is all rows."""

    entry: Entry
    source: Source
    speed: float | None = None
    limit: int | None = None


@dataclass(slots=True)
class Standing:
    """How far a job came. `written` counts events acknowledged now, `skipped` rows that do not fit.

    `row` is the highest row up to which nothing is left to do. `finished` says whether that is the last.
    """

    feed: str
    row: int = 0
    written: int = 0
    skipped: int = 0
    finished: bool = False


class ReplayFailed(Exception):
    """A job could not go on; the message says why, at which row, and what to do. `standing` is how far it came."""

    def __init__(self, message: str, standing: Standing) -> None:
        super().__init__(message)
        self.standing = standing


class Replay:
    """The part of a service that replays. `run` works; the part's own life only connects and disconnects."""

    def __init__(
        self,
        settings: SourceSettings,
        jobs: Sequence[Job],
        *,
        progress: Progress,
        restart: bool = False,
        skip_invalid: bool = False,
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._progress = progress
        self._restart = restart
        self._skip_invalid = skip_invalid
        self._stop = asyncio.Event()
        self._bridge: ProducerBridge | None = None

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """None of its own."""
        return []

    async def start(self) -> None:
        """Connect to Kafka, and make the topics that are missing."""
        settings, kafka = self._settings, self._settings.kafka()
        self._admin = admin_client(kafka)
        specs = [job.entry.feed.topic_spec() for job in self._jobs]
        self._partitions = await ensure_topics(self._admin, specs, replication_factor=settings.replication_factor)
        self._bridge = ProducerBridge(
            kafka,
            name="replay",
            queue_bytes=settings.queue_bytes,
            delivery_timeout_s=settings.delivery_timeout_s,
        )

    def trouble(self) -> str | None:
        """Why writing would not work now."""
        if self._bridge is None:
            return "the replay has not started"
        return self._bridge.trouble()

    def stop(self) -> None:
        """Read no further: `run` returns when what was handed over is acknowledged."""
        self._stop.set()

    async def drain(self) -> None:
        """Stop."""
        self.stop()

    async def close(self) -> None:
        """Leave Kafka."""
        if self._bridge is not None:
            await self._bridge.close(self._settings.drain_s)

    async def run(self) -> list[Standing]:
        """Do the jobs in their order, each after all of the one before is acknowledged; fewer after `stop`.

        Raises `ReplayFailed`, `KafkaException` or `KafkaUnavailable`.
        """
        standings = []
        for job in self._jobs:
            if self._stop.is_set():
                break
            standings.append(await self._replay(job))
        return standings

    async def _replay(self, job: Job) -> Standing:
        standing = Standing(job.entry.feed.name)
        place = await self._place(job)
        standing.row = place.after
        self._progress.begin(job.entry.feed.name, job.source)
        try:
            await self._bounded(self._write(job, place, standing), standing)
        except SourceError as error:
            raise ReplayFailed(str(error), standing) from error
        except NotAcknowledged as error:
            message = f"{standing.feed}: {error}. Run the same command again: it goes on from there."
            raise ReplayFailed(message, standing) from error
        finally:
            self._progress.end()
        return standing

    async def _bounded(self, writing: Coroutine[Any, Any, None], standing: Standing) -> None:
        """Let it end, in the time that a service has for draining once it is called to stop."""
        work, stopped = asyncio.ensure_future(writing), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({work}, timeout=self._settings.drain_s)
            if not work.done():
                raise ReplayFailed(
                    f"{standing.feed}: stopped before Kafka acknowledged the rows after {standing.row}. "
                    "Run the same command again: it goes on from there.",
                    standing,
                )
            await work
        finally:
            work.cancel()
            stopped.cancel()

    async def _place(self, job: Job) -> Place:
        new = Place(now())
        if self._restart:
            return new
        topic, offsets = job.entry.feed.topic, Offsets(self._admin)
        partitions = (await offsets.identity(topic)).partitions
        lows, ends = await offsets.beginnings(topic, partitions), await offsets.ends(topic, partitions)
        ranges = [range(low, end) for low, end in zip(lows, ends, strict=True)]
        found = await asyncio.to_thread(look_back, self._settings.kafka(), topic, ranges, job.source.uri)
        return found or new

    async def _write(self, job: Job, place: Place, standing: Standing) -> None:
        assert self._bridge is not None
        events_in = metrics.events_in.labels(standing.feed, "replay")
        bytes_in = metrics.bytes_in.labels(standing.feed, "replay")

        def on_acknowledged(rows: Sequence[Ready]) -> None:
            standing.row = rows[-1].number
            standing.written += len(rows)
            events_in.inc(len(rows))
            bytes_in.inc(sum(len(row.record.value or b"") for row in rows))
            self._progress.advance(len(rows), rows[-1].time_ms)

        sender = Sender(self._bridge, retry_s=self._settings.retry_s, on_acknowledged=on_acknowledged)
        chunks = Chunks(
            job.entry,
            job.source,
            place,
            partitions=self._partitions[job.entry.feed.topic],
            limit=job.limit,
            max_event_bytes=self._settings.max_event_bytes,
            skip_invalid=self._skip_invalid,
        )
        pace = Pace(job.speed)
        try:
            while not self._stop.is_set() and (chunk := await asyncio.to_thread(chunks.next)) is not None:
                if await self._send(chunk.ready, sender, pace) and chunk.unfit:
                    self._refuse(chunk.unfit, job, standing)
        except (SourceError, ReplayFailed):
            await sender.flush()
            raise
        await sender.flush()
        if chunks.ended:
            standing.row, standing.finished = chunks.last, True

    async def _send(self, rows: Sequence[Ready], sender: Sender, pace: Pace) -> bool:
        """Send rows as they become due; False where it was stopped before the last."""
        at = 0
        while at < len(rows):
            wait_s = pace.wait_s(rows[at].time_ms)
            if wait_s > 0:
                await sender.settle()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), min(wait_s, NAP_S))
            if self._stop.is_set():
                return False
            due = at
            while due < len(rows) and pace.wait_s(rows[due].time_ms) == 0:
                due += 1
            await sender.send(rows[at:due])
            at = due
        return True

    def _refuse(self, unfit: Sequence[Unfit], job: Job, standing: Standing) -> None:
        metrics.events_refused.labels(standing.feed, "invalid").inc(len(unfit))
        if self._skip_invalid:
            standing.skipped += len(unfit)
            return
        first = unfit[0]
        raise ReplayFailed(
            f"{job.source.name}, {first.place}: {first.reason}. "
            "Mend it, or leave out such rows with --skip-invalid; all rows before it are written.",
            standing,
        )
