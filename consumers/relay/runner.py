"""A subscription at work: keeps its endpoint busy, parks what fails, stops while the endpoint is away."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine
from random import random
from typing import Any

import structlog

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position, PositionGone
from headrace.consumers.core.record import Record
from headrace.consumers.filter.expression import Filter
from headrace.consumers.relay.breaker import Breaker, Change
from headrace.consumers.relay.counters import Counters
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.endpoint import Endpoint, Outcome
from headrace.consumers.relay.intake import Intake
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.keeper import Keeper
from headrace.consumers.relay.lineup import Job, Lineup, now_ms
from headrace.consumers.relay.outcome import Verdict
from headrace.consumers.relay.policy import Policy
from headrace.consumers.relay.reports import Reports
from headrace.consumers.relay.router import Router
from headrace.consumers.relay.state import Parked, Stored
from headrace.consumers.relay.turns import Turns
from headrace.consumers.relay.window import Window
from headrace.kafka.offsets import KafkaUnavailable
from headrace.schemas.event import rfc3339

log = structlog.get_logger(__name__)

AGAIN_EVENTS = 100
TROUBLE_S = 1.0
"""Pause after Kafka failed, before it is asked again."""

HAND_OVER_S = 5.0
"""How long attempts under way may still take when the subscription goes to another owner; then they are repeated."""


class Runner:
    """Runs one subscription on its owner, on the event loop.

    Nothing runs while there is nothing to do: `pump` is called when there is something new, an attempt has ended, a
    failed event is due, or the endpoint may be tried again. It asks for turns; at each, `_send` starts one attempt.
    Which event goes next is said by its `Lineup`; how many, how fast and whether at all by window, rate and breaker.
    """

    def __init__(
        self,
        subscription: Subscription,
        found: Stored,
        start: Position,
        feed_log: FeedLog,
        endpoint: Endpoint,
        policy: Policy,
        *,
        journal: Journal,
        turns: Turns,
        router: Router,
        disable: Callable[[str], None],
        dead_letter: Callable[[int], Awaitable[Record]],
    ) -> None:
        self.subscription = subscription
        self.feed_log = feed_log
        self.epoch = found.epoch
        self.endpoint = endpoint
        self.parked = 0
        self.hours_until_loss: float | None = None
        self.breaker = Breaker.from_record(found.endpoint, policy.limits)
        options = subscription.options
        self.intake = Intake(
            found,
            start,
            feed_log,
            router,
            filter=None if options.filter is None else Filter.parse(options.filter),
            types=frozenset(options.types),
            take=self._take,
            pump=self.pump,
        )
        self.reports = Reports(subscription, feed_log, journal)
        self._policy = policy
        self._journal = journal
        self._disable = disable
        self._dead_letter = dead_letter
        self._last_error: str | None = None
        self._window = Window(policy.max_in_flight)
        self._rate = policy.rate()
        self._running = subscription.state == "active"
        self._lineup = Lineup(self.pump if self._running else None)
        self._keeper = Keeper(
            subscription.state_key,
            found.epoch,
            self.intake,
            journal,
            lambda: self.breaker.to_record(time.time()),
            self._publish,
        )
        self._place = turns.place(self._send)
        self._gathered: list[Job] = []
        self._gathered_s = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._in_flight: dict[asyncio.Task[None], list[Job]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._cut_off: list[Job] = []
        self._counters = Counters(subscription.feed)
        for parked in sorted(found.parked, key=lambda p: (p.partition, p.offset)):
            self._restore(parked)
        self.pump()

    # What people see

    @property
    def position(self) -> Position:
        """Per partition, the first offset that is not settled."""
        return self.intake.position

    @property
    def lag(self) -> int:
        """Events of the feed that were not delivered yet, counted in offsets."""
        return self.intake.lag + self.parked

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return len(self._in_flight)

    @property
    def breaker_number(self) -> int:
        """Whether its endpoint may be sent to, as the metric tells it."""
        if self.subscription.state == "disabled":
            return 4
        if self.breaker.state != "closed":
            return 2 if self.breaker.state == "open" else 1
        return 3 if self.breaker.paused_until_s > time.time() else 0

    def status(self) -> dict[str, Any]:
        """How it stands now."""
        breaker = self.breaker
        return {
            "offset": self.feed_log.token(self.position),
            "epoch": self.epoch,
            "lag": self.lag,
            "in_flight": self.in_flight,
            "max_in_flight_now": self._window.size,
            "parked": self.parked,
            "delivered": self._counters.delivered,
            "failed": self._counters.failed,
            "hours_until_loss": self.hours_until_loss,
            "last_error": self._last_error,
            "breaker": {
                "state": breaker.state,
                "failing_since": _told(breaker.failing_since_s),
                "next_probe": _told(breaker.probe_at_s if breaker.state == "open" else None),
                "paused_until": _told(breaker.paused_until_s if breaker.paused_until_s > time.time() else None),
            },
        }

    # The pump

    def pump(self) -> None:
        """Something has changed: ask for a turn, if there may be something to send."""
        if self._running and len(self._in_flight) < self._window.size:
            self._place.want()

    def _send(self) -> bool:
        """A turn: start one attempt; False where there is nothing to send, or it may not be sent now."""
        now_s = time.time()
        if not self._running or len(self._in_flight) >= self._window.size or self._journal.behind:
            return False
        if not self.breaker.may_start(now_s):
            self._ring_at(self.breaker.next_change(now_s))
            return False
        if not self._gather(now_s):
            return False
        if self._rate is not None and (wait_s := self._rate.take(time.monotonic())) > 0:
            self._ring_at(now_s + wait_s)
            return False
        jobs, self._gathered = self._gathered, []
        task = asyncio.ensure_future(self._attempt(jobs, self.breaker.started(), self._window.generation))
        self._in_flight[task] = jobs
        task.add_done_callback(self._ended)
        return True

    def _gather(self, now_s: float) -> bool:
        """Bring together what goes into one request; True where it is ready to go."""
        batch = self._policy.batch
        while len(self._gathered) < batch.max_events:
            if (job := self._next()) is None:
                break
            if not self._gathered:
                self._gathered_s = now_s
            self._gathered.append(job)
        if not self._gathered:
            return False
        if len(self._gathered) == batch.max_events or batch.max_wait_ms == 0:
            return True
        waited_until_s = self._gathered_s + batch.max_wait_ms / 1000
        self._ring_at(waited_until_s)
        return now_s >= waited_until_s

    def _next(self) -> Job | None:
        """The next event; a probe is best made with one that has not failed, as a bad one fails on a good endpoint."""
        if self.breaker.state == "closed":
            return self._lineup.take() or self._read_on()
        return self._lineup.take_new() or self._read_on() or self._lineup.take()

    def _ring_at(self, at_s: float | None) -> None:
        """Pump at a time; an earlier alarm stays."""
        if at_s is None:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(at_s - time.time(), 0.0) + 0.001
        if self._alarm is not None:
            if self._alarm.when() <= when and not self._alarm.cancelled():
                return
            self._alarm.cancel()
        self._alarm = loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.pump()

    def _read_on(self) -> Job | None:
        """Read on from memory for the next that may go; what needs waiting is done in a task, which then pumps."""
        # A batch may hold nothing that may go: what was done before, or waits behind a failed one of its key.
        while self._reading is None and self.parked < self._policy.max_parked:
            if self.intake.full:
                if waiting := self._lineup.behind_parked():
                    self._reading = asyncio.ensure_future(self._guard(self._park(waiting)))
                return None
            read = self.intake.read_memory()
            if read is None:
                self._reading = asyncio.ensure_future(self._guard(self.intake.read_history()))
                return None
            if (job := self._lineup.take()) is not None or not read:
                return job
        return None

    def _take(self, record: Record) -> None:
        key = record.key if self.subscription.options.ordering == "key" else None
        self._lineup.add(Job(record.partition, record.offset, key, record))

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            self._keeper.mark()
        except PositionGone as error:
            self._skip_gap(error)
        except KafkaUnavailable as error:
            log.warning("subscription_waits_for_kafka", subscription=self.subscription.id, reason=str(error))
            await asyncio.sleep(TROUBLE_S)
        except Exception:
            log.exception("reading_failed", subscription=self.subscription.id)
            metrics.errors.labels("relay").inc()
            await asyncio.sleep(TROUBLE_S)
        finally:
            self._reading = None
        self.pump()

    def _skip_gap(self, error: PositionGone) -> None:
        """The log dropped events before they were delivered: say so, and go on with what is left."""
        for partition, first, end in self.intake.skip_to(error.earliest):
            self.reports.lost(partition, first, end)
        self._keeper.mark()

    # Attempts

    async def _attempt(self, jobs: list[Job], probe: int, generation: int) -> None:
        records: list[Record] = []
        for job in list(jobs):
            try:
                records.append(job.record or await self._read_again(job))
            except PositionGone:
                self.reports.lost(job.partition, job.offset, job.offset + 1)
                jobs.remove(job)
                self._settle(job)
            except KafkaUnavailable as error:
                jobs.remove(job)
                self._lineup.retry_at(job, now_ms() + int(TROUBLE_S * 1000))
                log.warning("subscription_waits_for_kafka", subscription=self.subscription.id, reason=str(error))
        if not jobs:
            self.breaker.abandoned(probe)
            return
        outcome = await self.endpoint.deliver(records)
        verdict = outcome.verdict
        self._window.ended(generation, verdict)
        change = self.breaker.ended(probe, verdict, time.time())
        if change is not None:
            self._changed(change, outcome)
        if verdict.delivered:
            for job, record in zip(jobs, records, strict=True):
                self.reports.attempt(record, job.attempts + 1, outcome, None)
                self._counters.count_delivered(record.size_bytes, record.timestamp_ms)
                self._settle(job)
        else:
            self._last_error = outcome.error
            await self._fail(list(zip(jobs, records, strict=True)), outcome)
        if verdict.action == "disable":
            self._disable(f"the endpoint said so ({outcome.error or outcome.status})")
        elif self.breaker.should_disable:
            self._disable(f"no success since {_told(self.breaker.failing_since_s)}: {outcome.error}")

    def _changed(self, change: Change, outcome: Outcome) -> None:
        """The breaker has changed."""
        name = self.subscription.id
        metrics.breaker_changes.labels(self.subscription.feed, change).inc()
        if change in ("opened", "closed"):
            log.info("breaker_" + change, subscription=name, reason=outcome.error)
            self.reports.event("breaker_" + change, reason=outcome.error)
        if change in ("closed", "paused"):
            self._window.restart()
        self._keeper.mark()

    async def _read_again(self, job: Job) -> Record:
        """An event from the log, and with it those that wait near it: one read for many."""
        partition, offset = job.partition, job.offset
        if job.dead is not None:
            return await self._dead_letter(job.dead)
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
        jobs = self._in_flight.pop(task)
        if task.cancelled():
            self._cut_off += jobs
        elif (error := task.exception()) is not None:
            log.error("attempt_crashed", subscription=self.subscription.id, exc_info=error)
            metrics.errors.labels("relay").inc()
            for job in jobs:
                if not job.settled:
                    self._lineup.retry_at(job, now_ms() + int(TROUBLE_S * 1000))
        self._place.release()
        self.pump()

    def _settle(self, job: Job) -> None:
        """An event is done."""
        job.settled = True
        if job.parked:
            self.parked -= 1
            self._keeper.unpark(job)
        else:
            self.intake.settle(job.partition, job.offset)
            self._keeper.mark()
        self._lineup.settle(job)

    async def _fail(self, failed: list[tuple[Job, Record]], outcome: Outcome) -> None:
        self._counters.count_failed()
        now = now_ms()
        to_park: list[tuple[Job, int]] = []
        for job, record in failed:
            number = job.attempts + 1
            wait_s = self._wait_s(number, outcome.verdict)
            if wait_s is None:
                self.reports.attempt(record, number, outcome, None)
                self.reports.dead_letter(record, outcome.error or "refused", number)
                self._settle(job)
                continue
            due_ms = now + int(wait_s * 1000)
            self.reports.attempt(record, number, outcome, due_ms)
            if self._endpoint_fails(outcome.verdict):
                # Its endpoint is at fault, not the event: it keeps its attempts and its place.
                self._lineup.put_back(job)
                continue
            job.attempts = number
            to_park.append((job, due_ms))
        self._keeper.mark()
        if to_park:
            await self._park([job for job, _ in to_park], [due_ms for _, due_ms in to_park])
            for job, due_ms in to_park:
                self._lineup.retry_at(job, due_ms)
            if self.parked >= self._policy.max_parked and self.breaker.trip(time.time()):
                self._changed("opened", outcome)

    def _endpoint_fails(self, verdict: Verdict) -> bool:
        stopped = verdict.action == "disable" or verdict.pause_s is not None or self.breaker.state != "closed"
        return stopped and verdict.health == "failing"

    def _wait_s(self, number: int, verdict: Verdict) -> float | None:
        if verdict.action == "dead_letter":
            return None
        if verdict.action == "disable" or self._endpoint_fails(verdict):
            return max(self.breaker.probe_at_s - time.time(), 0.0)
        schedule = self._policy.schedule
        return (schedule.short if verdict.action == "retry_short" else schedule).wait_s(number, random)

    # Parking

    async def _park(self, jobs: list[Job], due_ms: list[int] | None = None) -> None:
        """Write the references of events, and only then let the position step over them."""
        times = due_ms or [0] * len(jobs)
        references = [_reference(job, at) for job, at in zip(jobs, times, strict=True)]
        if not await self._keeper.park(references):
            return  # the events stay unsettled: the position does not step over them
        for job in jobs:
            if job.settled:
                self._keeper.unpark(job)  # it was delivered while its reference was being written
                continue
            if not job.parked:
                job.parked = True
                self.parked += 1
                self.intake.settle(job.partition, job.offset)
            job.record = None
        self._keeper.mark()

    async def redeliver(self, wanted: list[Parked]) -> int:
        """Deliver events once more; those that wait already go at once. Returns how many it is.

        They are parked, so that a next owner knows of them. Raises `TooMany`, `KafkaUnavailable`.
        """
        waiting = {(parked.partition, parked.offset) for parked in self.waiting()}
        unsettled = {(p, offset) for p, lane in enumerate(self.intake.lanes) for offset in lane.offsets()}
        new = [w for w in wanted if (w.partition, w.offset) not in waiting | unsettled]
        if self.parked + len(new) > self._policy.max_parked:
            raise TooMany(f"{len(new)} events, and {self.parked} wait already; at most {self._policy.max_parked} may")
        await self._keeper.flush()
        if not await self._keeper.park(new):
            raise KafkaUnavailable("the events were not noted: ask again")
        for parked in new:
            self._restore(parked)
        self._lineup.hurry({(w.partition, w.offset) for w in wanted} & waiting)
        self.pump()
        return len(wanted)

    async def give_up(self, partition: int, offset: int, reason: str) -> None:
        """Make a dead letter of a parked event that waits for its time; one in flight is left alone."""
        job = self._lineup.withdraw(partition, offset)
        if job is None:
            return
        try:
            record = await self._read_again(job)
        except PositionGone:
            self.reports.lost(partition, offset, offset + 1)
        except KafkaUnavailable:
            self._lineup.put_back(job)
            raise
        else:
            self.reports.dead_letter(record, f"{reason}; {self._last_error or 'not tried yet'}", job.attempts)
        self._settle(job)

    def _restore(self, parked: Parked) -> None:
        job = Job(parked.partition, parked.offset, parked.key, None, parked.attempt, parked=True, dead=parked.dead)
        self.parked += 1
        self._lineup.add_failed(job, parked.due_ms)

    # What is kept

    def _publish(self) -> None:
        self._counters.publish()

    def touch(self) -> None:
        """Write where it stands, though nothing was delivered: what it skipped is not read again by a next owner."""
        self._keeper.mark()

    async def stop(self) -> None:
        """Stop, and write the position.

        Attempts under way may end for up to 5 s; what is cut off then is repeated by whoever goes on.
        """
        self._running = False
        self._place.close()
        self.intake.leave()
        self._lineup.close()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._in_flight:
            _, cut_off = await asyncio.wait(self._in_flight, timeout=HAND_OVER_S)
            for task in cut_off:
                task.cancel()
            await asyncio.gather(*cut_off, return_exceptions=True)
        self._cut_off += self._gathered
        self._gathered = []
        self._keeper.mark()
        await self._keeper.flush()

    def waiting(self) -> list[Parked]:
        """The parked events, with when they are due; those in flight are due at once."""
        in_flight = (job for jobs in self._in_flight.values() for job in jobs)
        waiting = {**dict.fromkeys([*self._cut_off, *self._gathered, *in_flight], 0), **self._lineup.waiting()}
        return [_reference(job, due_ms) for job, due_ms in waiting.items() if job.parked]

    def stored(self) -> Stored:
        """What a next runner of the subscription goes on from; to be asked after `stop`."""
        return Stored(
            self.epoch,
            self.feed_log.token(self.position),
            self.intake.states(),
            self.waiting(),
            self.breaker.to_record(time.time()),
        )


class TooMany(Exception):
    """More events than may wait."""


def _reference(job: Job, due_ms: int) -> Parked:
    return Parked(job.partition, job.offset, job.attempts, due_ms, job.key, job.dead)


def _told(at_s: float | None) -> str | None:
    return None if at_s is None else rfc3339(int(at_s * 1000))
