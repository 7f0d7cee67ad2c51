"""A subscription at work: reads its lanes, keeps its endpoint busy, parks what fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position, PositionGone
from headrace.consumers.core.record import Record
from headrace.consumers.relay.attempt import Endpoint, Outcome
from headrace.consumers.relay.counters import Counters
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.journal import Journal, Snapshot
from headrace.consumers.relay.journal import Record as JournalRecord
from headrace.consumers.relay.lane import Lane
from headrace.consumers.relay.lineup import Job, Lineup, now_ms
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


class Runner:
    """Runs one subscription on its owner, on the event loop.

    Nothing runs while there is nothing to do: `pump` is called when the feed has grown, an attempt has ended or a
    failed event is due. Which event goes next is said by its `Lineup`.
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
        self.endpoint = endpoint
        self.parked = 0
        self._last_error: str | None = None
        self._journal = journal
        self._slots = slots
        self._settings = settings
        self._window = Window(settings.max_in_flight)
        self._found = found
        self._start = start
        self._lanes: list[Lane] = []
        self._add_lanes()
        self._running = subscription.state == "active"
        self._lineup = Lineup(self.pump if self._running else None)
        self._in_flight: dict[asyncio.Task[None], Job] = {}
        self._reading: asyncio.Task[None] | None = None
        self._cut_off: list[Job] = []
        # References of events that are parked no more, until their removal is acknowledged.
        self._unparked: dict[bytes, None] = {}
        self._counters = Counters(subscription.feed)
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
            "delivered": self._counters.delivered,
            "failed": self._counters.failed,
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
            job = self._lineup.take() or self._read_on()
            if job is None:
                return
            task = asyncio.ensure_future(self._attempt(job))
            self._in_flight[task] = job
            task.add_done_callback(self._ended)

    def _read_on(self) -> Job | None:
        """Read on from memory for the next that may go; what needs waiting is done in a task, which then pumps."""
        # A batch may hold nothing that may go: what was done before, or waits behind a failed one of its key.
        while self._reading is None and self.parked < self._settings.max_parked:
            if sum(lane.unsettled for lane in self._lanes) >= AHEAD_EVENTS:
                if waiting := self._lineup.behind_parked():
                    self._reading = asyncio.ensure_future(self._guard(self._park(waiting)))
                return None
            self._add_lanes()
            batch = self.feed_log.read_rings(self._fetched(), READ_EVENTS)
            if batch is None:
                self._reading = asyncio.ensure_future(self._guard(self._read_history()))
                return None
            self._take(batch.records, batch.position)
            if (job := self._lineup.take()) is not None or not batch.records:
                return job
        return None

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
                self._lineup.add(Job(record.partition, record.offset, record.key if by_key else None, record))
        if fetched != self._fetched():
            for lane, offset in zip(self._lanes, fetched, strict=True):
                lane.fetched = offset
            self._mark()

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
            self._lineup.retry_at(job, now_ms() + int(TROUBLE_S * 1000))
            log.warning("subscription_waits_for_kafka", subscription=self.subscription.id, reason=str(error))
            return
        body = self.feed_log.json(record)
        async with self._slots:
            outcome = await self.endpoint.deliver(record.id, body)
        self._window.answered(outcome.status)
        if not outcome.delivered:
            await self._fail(job, outcome)
            return
        self._counters.count_delivered(len(body), record.timestamp_ms)
        self._settle(job)

    async def _read_again(self, job: Job) -> Record:
        """An event from the log, and with it those that wait near it: one read for many."""
        partition, offset = job.partition, job.offset
        position = (*self.feed_log.tail[:partition], offset, *self.feed_log.tail[partition + 1 :])
        batch = await self.feed_log.read(position, AGAIN_EVENTS)
        found = {record.offset: record for record in batch.records if record.partition == partition}
        if offset not in found:
            raise PositionGone(f"{self.feed_log.topic.topic}:{partition}:{offset} is no longer kept", position)
        for other in itertools.islice(self._lineup.following(job), AGAIN_EVENTS):
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
            self._lineup.retry_at(job, now_ms() + int(self._settings.retry_first_s * 1000))
        self.pump()

    def _settle(self, job: Job) -> None:
        """An event is done."""
        job.settled = True
        if job.parked:
            self.parked -= 1
            self._unparked[parked_key(self.subscription.state_key, job.partition, job.offset)] = None
        else:
            self._lanes[job.partition].settle(job.offset)
        self._mark()
        self._lineup.settle(job)

    async def _fail(self, job: Job, outcome: Outcome) -> None:
        self._counters.count_failed()
        self._mark()
        self._last_error = outcome.error
        job.attempts += 1
        wait_s = backoff_s(job.attempts, self._settings.retry_first_s, self._settings.retry_max_s)
        due_ms = now_ms() + int(wait_s * 1000)
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
        self._lineup.retry_at(job, due_ms)

    # Parking

    async def _park(self, jobs: list[Job], due_ms: int = 0) -> None:
        """Write the references of events, and only then let the position step over them."""
        references = [Parked(job.partition, job.offset, job.attempts, due_ms, job.key) for job in jobs]
        if not await self._write([parked_record(self.subscription.state_key, self.epoch, r) for r in references]):
            return  # the events stay unsettled: the position does not step over them
        for job in jobs:
            if job.settled:
                # It was delivered while its reference was being written.
                self._unparked[parked_key(self.subscription.state_key, job.partition, job.offset)] = None
                continue
            if not job.parked:
                job.parked = True
                self.parked += 1
                self._lanes[job.partition].settle(job.offset)
            job.record = None
        self._mark()

    def _restore(self, parked: Parked) -> None:
        job = Job(parked.partition, parked.offset, parked.key, None, parked.attempt, parked=True)
        self.parked += 1
        self._lineup.add_failed(job, parked.due_ms)

    # What is kept

    def _mark(self) -> None:
        self._journal.mark(self.subscription.id, self._snapshot)

    def _snapshot(self) -> Snapshot:
        self._counters.publish()
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
        self._lineup.close()
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
        waiting = {**dict.fromkeys(self._cut_off, 0), **self._lineup.waiting()}
        return Stored(
            self.epoch,
            self.feed_log.token(self.position),
            {p: lane.state() for p, lane in enumerate(self._lanes)},
            [Parked(j.partition, j.offset, j.attempts, due_ms, j.key) for j, due_ms in waiting.items() if j.parked],
        )
