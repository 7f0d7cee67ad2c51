"""A subscription at work: reads its lanes, keeps its endpoint busy, parks what fails."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position, PositionGone
from headrace.consumers.core.record import Record
from headrace.consumers.relay.attempt import Endpoint, Outcome
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.journal import Journal, Snapshot
from headrace.consumers.relay.journal import Record as JournalRecord
from headrace.consumers.relay.lane import Lane
from headrace.consumers.relay.retries import backoff_s
from headrace.consumers.relay.state import Parked, Stored, lane_record, parked_key, parked_record
from headrace.consumers.relay.window import Window
from headrace.kafka.bridge import QueueFull, Undelivered
from headrace.kafka.offsets import KafkaUnavailable
from headrace.settings import RelaySettings

log = structlog.get_logger(__name__)

READ_EVENTS = 500
AGAIN_EVENTS = 100
AHEAD_EVENTS = 1000
"""Events that may be read and not yet settled: enough to keep an endpoint busy, bounded whatever it does."""

TROUBLE_S = 1.0
"""Pause after Kafka failed, before it is asked again."""

HAND_OVER_S = 5.0
"""How long attempts under way may still take when the subscription goes to another owner; then they are repeated."""


@dataclass(slots=True, eq=False)
class Job:
    """An event on its way. `record` is None where it must be read again; `parked`: its reference is in Kafka."""

    partition: int
    offset: int
    key: bytes | None
    record: Record | None
    attempts: int = 0
    parked: bool = False


class Runner:
    """Runs one subscription on its owner, on the event loop.

    Nothing runs while there is nothing to do: `pump` is called when the feed has grown, an attempt has ended or a
    failed event is due. With `ordering: key` the events of a key form a chain, of which only the first is under way or
    waits for its retry.
    """

    def __init__(
        self,
        subscription: Subscription,
        found: Stored,
        start: Position,
        feed_log: FeedLog,
        endpoint: Endpoint,
        journal: Journal,
        slots: asyncio.Semaphore,
        settings: RelaySettings,
    ) -> None:
        self.subscription = subscription
        self.feed_log = feed_log
        self.epoch = found.epoch
        self.parked = 0
        self._delivered = 0
        self._delivered_bytes = 0
        self._failed = 0
        self._counted = (0, 0, 0)
        self._last_error: str | None = None
        self._endpoint = endpoint
        self._journal = journal
        self._slots = slots
        self._settings = settings
        self._window = Window(settings.max_in_flight)
        self._found = found
        self._start = start
        self._lanes: list[Lane] = []
        self._add_lanes()
        self._ready: deque[Job] = deque()
        self._chains: dict[bytes, deque[Job]] = {}
        self._due: list[tuple[int, int, Job]] = []
        self._ties = itertools.count()
        self._in_flight: dict[asyncio.Task[None], Job] = {}
        self._reading: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._cut_off: list[Job] = []
        # References of events that are parked no more, until their removal is acknowledged.
        self._unparked: dict[bytes, None] = {}
        self._running = subscription.state == "active"
        feed = subscription.feed
        self._events_out = metrics.events_out.labels(feed, "webhook")
        self._bytes_out = metrics.bytes_out.labels(feed, "webhook")
        self._latency = metrics.latency_seconds.labels(feed, "webhook")
        self._attempts_delivered = metrics.attempts.labels(feed, "delivered")
        self._attempts_failed = metrics.attempts.labels(feed, "failed")
        for parked in sorted(found.parked, key=lambda p: (p.partition, p.offset)):
            self._restore(parked)
        feed_log.listen(self.pump)
        self.pump()

    # What people see

    @property
    def position(self) -> Position:
        """Per partition, the first offset that is not settled."""
        return tuple(lane.position for lane in self._lanes)

    @property
    def lag(self) -> int:
        """Events of the feed that were not delivered yet, counted in offsets."""
        lanes = zip(self.feed_log.rings, self._lanes, strict=False)
        return sum(max(ring.end - lane.fetched, 0) + lane.unsettled for ring, lane in lanes) + self.parked

    def status(self) -> dict[str, Any]:
        """How it stands now."""
        return {
            "offset": self.feed_log.token(self.position),
            "epoch": self.epoch,
            "lag": self.lag,
            "in_flight": self.in_flight,
            "parked": self.parked,
            "delivered": self._delivered,
            "failed": self._failed,
            "last_error": self._last_error,
        }

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return len(self._in_flight)

    # The pump

    def pump(self) -> None:
        """Start as many attempts as may be under way."""
        while self._running and len(self._in_flight) < self._window.size:
            if not self._ready and not self._refill():
                return
            job = self._ready.popleft()
            task = asyncio.ensure_future(self._attempt(job))
            self._in_flight[task] = job
            task.add_done_callback(self._ended)

    def _refill(self) -> bool:
        """Read on from memory; what needs waiting is done in a task, which pumps when it is done."""
        if self._reading is not None or self.parked >= self._settings.max_parked:
            return False
        if sum(lane.unsettled for lane in self._lanes) >= AHEAD_EVENTS:
            if waiting := self._waiting_behind_parked():
                self._reading = asyncio.ensure_future(self._guard(self._park(waiting)))
            return False
        self._add_lanes()
        batch = self.feed_log.read_rings(self._fetched(), READ_EVENTS)
        if batch is None:
            self._reading = asyncio.ensure_future(self._guard(self._read_history()))
            return False
        self._take(batch.records, batch.position)
        return bool(self._ready)

    def _add_lanes(self) -> None:
        """A lane for every partition: a feed can get more of them."""
        for partition in range(len(self._lanes), len(self.feed_log.rings)):
            self._lanes.append(Lane(self._found.lane(partition, self._start)))

    def _fetched(self) -> Position:
        return tuple(lane.fetched for lane in self._lanes)

    def _take(self, records: list[Record], fetched: Position) -> None:
        by_key = self.subscription.ordering == "key"
        for record in records:
            if self._lanes[record.partition].take(record.offset):
                self._line_up(Job(record.partition, record.offset, record.key if by_key else None, record))
        if fetched != self._fetched():
            for lane, offset in zip(self._lanes, fetched, strict=True):
                lane.fetched = offset
            self._mark()

    def _line_up(self, job: Job) -> None:
        if self._heads_its_chain(job):
            self._ready.append(job)

    def _heads_its_chain(self, job: Job) -> bool:
        """Put a job at the end of the chain of its key; True where there is none before it."""
        if job.key is None:
            return True
        chain = self._chains.setdefault(job.key, deque())
        chain.append(job)
        return len(chain) == 1

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except PositionGone as error:
            self._skip_gap(error)
        except (KafkaUnavailable, Undelivered, QueueFull) as error:
            log.warning("subscription_waits_for_kafka", subscription=self.subscription.id, reason=str(error))
            await asyncio.sleep(TROUBLE_S)
        except Exception:
            log.exception("reading_failed", subscription=self.subscription.id)
            metrics.errors.labels("relay").inc()
            await asyncio.sleep(TROUBLE_S)
        finally:
            self._reading = None
        self.pump()

    async def _read_history(self) -> None:
        batch = await self.feed_log.read(self._fetched(), READ_EVENTS)
        self._take(batch.records, batch.position)

    def _skip_gap(self, error: PositionGone) -> None:
        """The log dropped events before they were delivered: say so, and go on with what is left."""
        lost = 0
        for lane, earliest in zip(self._lanes, error.earliest, strict=False):
            lost += max(earliest - lane.fetched, 0)
            lane.fetched = max(lane.fetched, earliest)
        log.error("events_lost_to_retention", subscription=self.subscription.id, events=lost, reason=str(error))
        metrics.errors.labels("retention").inc(lost)
        self._mark()

    # Attempts

    async def _attempt(self, job: Job) -> None:
        try:
            record = job.record or await self._read_again(job)
        except PositionGone as error:
            log.error("parked_event_lost_to_retention", subscription=self.subscription.id, reason=str(error))
            metrics.errors.labels("retention").inc()
            self._settle(job)
            return
        except KafkaUnavailable as error:
            self._retry_at(job, _now_ms() + int(TROUBLE_S * 1000))
            log.warning("subscription_waits_for_kafka", subscription=self.subscription.id, reason=str(error))
            return
        body = self.feed_log.json(record)
        async with self._slots:
            outcome = await self._endpoint.deliver(record.id, body)
        self._window.answered(outcome.status)
        if not outcome.delivered:
            await self._fail(job, outcome)
            return
        self._delivered += 1
        self._delivered_bytes += len(body)
        if (timestamp_ms := record.timestamp_ms) >= 0:
            self._latency.observe(max(time.time() - timestamp_ms / 1000, 0.0))
        self._settle(job)

    async def _read_again(self, job: Job) -> Record:
        """An event from the log, and with it those that wait near it: one read for many."""
        partition, offset = job.partition, job.offset
        position = (*self.feed_log.tail[:partition], offset, *self.feed_log.tail[partition + 1 :])
        batch = await self.feed_log.read(position, AGAIN_EVENTS)
        found = {record.offset: record for record in batch.records if record.partition == partition}
        if offset not in found:
            raise PositionGone(f"{self.feed_log.topic.topic}:{partition}:{offset} is no longer kept", position)
        for other in itertools.islice(self._ready if job.key is None else self._chains[job.key], AGAIN_EVENTS):
            if other.partition == partition and other.record is None:
                other.record = found.get(other.offset)
        return found[offset]

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._in_flight.pop(task)
        if task.cancelled():
            self._cut_off.append(job)
        elif (error := task.exception()) is not None:
            log.error("attempt_crashed", subscription=self.subscription.id, exc_info=error)
            metrics.errors.labels("relay").inc()
            self._retry_at(job, _now_ms() + int(self._settings.retry_first_s * 1000))
        self.pump()

    def _settle(self, job: Job) -> None:
        """An event is done: the next of its key may go."""
        if job.parked:
            self.parked -= 1
            self._unparked[parked_key(self.subscription.state_key, job.partition, job.offset)] = None
        else:
            self._lanes[job.partition].settle(job.offset)
        self._mark()
        if job.key is not None:
            chain = self._chains[job.key]
            chain.popleft()
            if chain:
                self._ready.append(chain[0])
            else:
                del self._chains[job.key]

    async def _fail(self, job: Job, outcome: Outcome) -> None:
        self._failed += 1
        self._mark()
        self._last_error = outcome.error
        job.attempts += 1
        wait_s = backoff_s(job.attempts, self._settings.retry_first_s, self._settings.retry_max_s)
        due_ms = _now_ms() + int(wait_s * 1000)
        log.debug(
            "attempt_failed",
            subscription=self.subscription.id,
            partition=job.partition,
            offset=job.offset,
            attempt=job.attempts,
            retry_in_s=round(wait_s, 1),
            reason=outcome.error,
        )
        await self._park([job], due_ms)
        self._retry_at(job, due_ms)

    # Failed events

    def _retry_at(self, job: Job, due_ms: int) -> None:
        heapq.heappush(self._due, (due_ms, next(self._ties), job))
        if self._due[0][2] is job:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._due and self._running:
            wait_s = max(self._due[0][0] - _now_ms(), 0) / 1000 + 0.001
            self._alarm = asyncio.get_running_loop().call_later(wait_s, self._ring)

    def _ring(self) -> None:
        """What is due goes before what is new."""
        now = _now_ms()
        while self._due and self._due[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._due)[2])
        self._set_alarm()
        self.pump()

    async def _park(self, jobs: list[Job], due_ms: int = 0) -> None:
        """Write the references of events, and only then let the position step over them."""
        references = [Parked(job.partition, job.offset, job.attempts, due_ms, job.key) for job in jobs]
        if not await self._write([parked_record(self.subscription.state_key, self.epoch, r) for r in references]):
            return  # the events stay unsettled: the position does not step over them
        for job in jobs:
            if not job.parked:
                job.parked = True
                self.parked += 1
                self._lanes[job.partition].settle(job.offset)
            job.record = None
        self._mark()

    def _waiting_behind_parked(self) -> list[Job]:
        """Events that wait in memory for one of their key that waits itself: they would stop all other keys."""
        return [
            job
            for chain in self._chains.values()
            if chain[0].parked
            for job in itertools.islice(chain, 1, None)
            if not job.parked
        ]

    def _restore(self, parked: Parked) -> None:
        job = Job(parked.partition, parked.offset, parked.key, None, parked.attempt, parked=True)
        self.parked += 1
        if self._heads_its_chain(job):
            self._retry_at(job, parked.due_ms)

    # What is kept

    def _mark(self) -> None:
        self._journal.mark(self.subscription.id, self._snapshot)

    def count(self) -> None:
        """Bring the counters up to date: once for many events, as counting costs as much as signing."""
        now = (self._delivered, self._delivered_bytes, self._failed)
        delivered, delivered_bytes, failed = (a - b for a, b in zip(now, self._counted, strict=True))
        self._counted = now
        self._events_out.inc(delivered)
        self._attempts_delivered.inc(delivered)
        self._bytes_out.inc(delivered_bytes)
        self._attempts_failed.inc(failed)

    def _snapshot(self) -> Snapshot:
        self.count()
        moved = [(p, lane, state) for p, lane in enumerate(self._lanes) if (state := lane.moved()) is not None]
        unparked = list(self._unparked)

        def acknowledged() -> None:
            for _, lane, state in moved:
                lane.written(state)
            for reference in unparked:
                self._unparked.pop(reference, None)

        lanes = [lane_record(self.subscription.state_key, self.epoch, p, state) for p, _, state in moved]
        return Snapshot([*lanes, *((reference, None) for reference in unparked)], acknowledged)

    async def _write(self, records: Sequence[JournalRecord]) -> bool:
        try:
            await self._journal.write(self.subscription.id, records)
        except (Undelivered, QueueFull) as error:
            # Nothing is lost by it: the next owner would only repeat more.
            log.warning("state_not_written", subscription=self.subscription.id, reason=str(error))
            metrics.errors.labels("relay").inc()
            return False
        return True

    async def stop(self) -> None:
        """Stop, and write the position.

        Attempts under way may end for up to 5 s; what is cut off then is repeated by whoever goes on.
        """
        self._running = False
        self.feed_log.unlisten(self.pump)
        self._set_alarm()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._in_flight:
            _, cut_off = await asyncio.wait(self._in_flight, timeout=HAND_OVER_S)
            for task in cut_off:
                task.cancel()
            await asyncio.gather(*cut_off, return_exceptions=True)
        try:
            await self._journal.flush(self.subscription.id)
        except (Undelivered, QueueFull) as error:
            log.warning("state_not_written", subscription=self.subscription.id, reason=str(error))

    def stored(self) -> Stored:
        """What a next runner of the subscription goes on from; to be asked after `stop`."""
        due = {id(job): due_ms for due_ms, _, job in self._due}
        return Stored(
            self.epoch,
            self.feed_log.token(self.position),
            {p: lane.state() for p, lane in enumerate(self._lanes)},
            [Parked(j.partition, j.offset, j.attempts, due.get(id(j), 0), j.key) for j in self._parked_jobs()],
        )

    def _parked_jobs(self) -> list[Job]:
        waiting = (job for chain in self._chains.values() for job in chain)
        jobs = {id(job): job for job in (*(job for _, _, job in self._due), *self._ready, *waiting, *self._cut_off)}
        return [job for job in jobs.values() if job.parked]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
