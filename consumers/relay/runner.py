"""A subscription at work: keeps its endpoint busy, parks what fails, stops while the endpoint is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position, PositionGone
from headrace.consumers.core.record import Record
from headrace.consumers.relay.alarm import Alarm
from headrace.consumers.relay.breaker import Breaker, Change
from headrace.consumers.relay.connection import Phases
from headrace.consumers.relay.counters import Counters
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.endpoint import Endpoint, Outcome
from headrace.consumers.relay.gathering import TROUBLE_S, Gathering
from headrace.consumers.relay.intake import Intake
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.keeper import Keeper
from headrace.consumers.relay.lineup import Job, Lineup, now_ms
from headrace.consumers.relay.order_key import order_key
from headrace.consumers.relay.outcome import Verdict
from headrace.consumers.relay.policy import Policy
from headrace.consumers.relay.reports import Reports
from headrace.consumers.relay.rereading import Rereading
from headrace.consumers.relay.router import Router
from headrace.consumers.relay.settling import Settling, reference
from headrace.consumers.relay.state import Parked, Stored
from headrace.consumers.relay.turns import Turns
from headrace.consumers.relay.window import Window
from headrace.consumers.subscription_answers import Status
from headrace.kafka.offsets import KafkaUnavailable
from headrace.schemas.event import rfc3339

log = structlog.get_logger(__name__)

BEHIND_S = 0.1
"""Pause while more reports wait for Kafka than should."""

UNSENT = Verdict("retry_short", "refused")
"""What follows where no request could be made of an event."""

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
        self._writer = found.writer
        self.endpoint = endpoint
        self.snapshots = found.snapshots
        self.hours_until_loss: float | None = None
        self.breaker = Breaker.from_record(found.endpoint, policy.limits)
        options = subscription.options
        self.intake = Intake(
            found,
            start,
            feed_log,
            router,
            options,
            take=self._take,
            pump=self.pump,
        )
        self.reports = Reports(subscription, feed_log, journal)
        self._counters = Counters(feed_log.entry.feed.label)
        self._policy = policy
        self._journal = journal
        self._disable = disable
        self._window = Window(policy.max_in_flight)
        self._rate = policy.rate()
        self._running = subscription.state == "active"
        self._lineup = Lineup(self.pump if self._running else None)
        self._keeper = Keeper(
            subscription.state_key,
            found,
            self.intake,
            journal,
            lambda: self.breaker.to_record(time.time()),
            self._counters.publish,
        )
        self._rereading = Rereading(feed_log, self._lineup, dead_letter)
        self.settling = Settling(
            policy,
            self.breaker,
            self._lineup,
            self.intake,
            self._keeper,
            self.reports,
            self._rereading,
            self._counters,
        )
        self._gathering = Gathering(
            subscription,
            self._lineup,
            self.intake,
            self.settling,
            self._keeper,
            self.reports,
            self.breaker,
            self.pump,
        )
        self._place = turns.place(self._send)
        self._alarm = Alarm(self.pump)
        self._in_flight: dict[asyncio.Task[None], list[Job]] = {}
        self._probes: dict[asyncio.Task[None], int] = {}
        self._cut_off: list[Job] = []
        for parked in sorted(found.parked, key=lambda p: (p.partition, p.offset)):
            self.settling.restore(parked)
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
    def parked(self) -> int:
        """Events that wait for their retry."""
        return self.settling.parked

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return len(self._in_flight)

    @property
    def breaker_number(self) -> int:
        """Whether its endpoint may be sent to, as the metric tells it."""
        if self.subscription.state == "disabled":
            return 4
        if self.breaker.paused_until_s > time.time():
            return 3
        return {"closed": 0, "half_open": 1, "open": 2}[self.breaker.state]

    def status(self) -> Status:
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
            "last_error": self.settling.last_error,
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
        if not self._running or len(self._in_flight) >= self._window.size:
            return False
        may_at_s = self._may_send_at(now_s)
        if may_at_s is None:
            return False
        if may_at_s > now_s:
            self._alarm.bring_forward(may_at_s - now_s)
            return False
        jobs = self._gathering.take()
        probe = self.breaker.started()
        task = asyncio.get_running_loop().create_task(self._attempt(jobs, probe, self._window.generation))
        self._probes[task] = probe
        self._in_flight[task] = jobs
        task.add_done_callback(self._ended)
        return True

    def _may_send_at(self, now_s: float) -> float | None:
        """When the next request may go; None where only something new decides."""
        if self._journal.behind:
            return now_s + BEHIND_S
        if not self.breaker.may_start(now_s):
            return self.breaker.next_change(now_s)
        ready_s = self._gathering.ready_at(now_s)
        if ready_s is None or ready_s > now_s or self._rate is None:
            return ready_s
        return now_s + self._rate.take(time.monotonic())

    def _take(self, record: Record) -> None:
        key = order_key(record, self.subscription.options)
        self._lineup.add(Job(record.partition, record.offset, key, record))

    # Attempts

    async def _attempt(self, jobs: list[Job], probe: int, generation: int) -> None:
        tried = [
            (job, record) for job in list(jobs) if (record := job.record or await self._record(job, jobs)) is not None
        ]
        if not tried:
            self.breaker.abandoned(probe)
            return
        try:
            outcome = await self.endpoint.deliver([record for _, record in tried])
        except Exception as error:
            # Nothing was sent, so it says nothing of the endpoint; what can never be sent must not be tried for ever.
            log.exception("attempt_crashed", subscription=self.subscription.id)
            metrics.errors.labels("relay").inc()
            self.breaker.abandoned(probe)
            reason = f"could not be sent: {type(error).__name__}"
            await self.settling.failed(tried, Outcome(UNSENT, None, Phases(), reason, "internal"))
            return
        verdict = outcome.verdict
        self._counters.count_attempt(outcome.phases.total_s, delivered=verdict.delivered)
        self._window.ended(generation, verdict)
        change = self.breaker.ended(probe, verdict, time.time())
        if change is not None:
            self._changed(change, outcome)
        if verdict.delivered:
            self.settling.delivered(tried, outcome)
        else:
            await self.settling.failed(tried, outcome)
            if self.settling.full and self.breaker.trip(time.time()):
                self._changed("opened", outcome)
        if verdict.action == "disable":
            self._end(f"the endpoint said so ({outcome.error or outcome.status})")
        elif self.breaker.should_disable:
            self._end(f"no success since {_told(self.breaker.failing_since_s)}: {outcome.error}")

    async def _record(self, job: Job, jobs: list[Job]) -> Record | None:
        """The event of a job; where it is not to be had now, the job is taken out of the request."""
        try:
            return await self._rereading.record(job, jobs)
        except PositionGone:
            jobs.remove(job)
            self.settling.lost(job)
        except KafkaUnavailable as error:
            jobs.remove(job)
            self._lineup.retry_at(job, now_ms() + int(TROUBLE_S * 1000))
            log.warning("subscription_waits_for_kafka", subscription=self.subscription.id, reason=str(error))
        return None

    def _end(self, reason: str) -> None:
        """Send nothing more, from now on and not only once it is written that the subscription is disabled."""
        if self._running:
            self._running = False
            self._disable(reason)

    def _changed(self, change: Change, outcome: Outcome) -> None:
        """The breaker has changed."""
        name = self.subscription.id
        metrics.breaker_changes.labels(self.feed_log.entry.feed.label, change).inc()
        if change in ("opened", "closed"):
            log.info("breaker_" + change, subscription=name, reason=outcome.error)
            self.reports.event("breaker_" + change, reason=outcome.error)
        if change in ("closed", "paused"):
            self._window.restart()
        self._keeper.mark()

    def _ended(self, task: asyncio.Task[None]) -> None:
        jobs, probe = self._in_flight.pop(task), self._probes.pop(task)
        if task.cancelled():
            self._cut_off += jobs
        elif (error := task.exception()) is not None:
            log.error("attempt_crashed", subscription=self.subscription.id, exc_info=error)
            metrics.errors.labels("relay").inc()
            self.breaker.abandoned(probe)
            for job in jobs:
                if not job.settled:
                    self._lineup.retry_at(job, now_ms() + int(TROUBLE_S * 1000))
        self._place.release()
        self.pump()

    # What is kept

    async def give_up(self, partition: int, offset: int, reason: str) -> None:
        """Make a dead letter of a parked event that waits for its time; one in flight is left alone."""
        await self.settling.give_up(partition, offset, reason)

    async def redeliver(self, wanted: Sequence[Parked]) -> int:
        """Deliver events once more. Returns how many it is; raises `TooMany`, `KafkaUnavailable`."""
        await self.settling.redeliver(wanted, self.waiting())
        self.pump()
        return len(wanted)

    def touch(self) -> None:
        """Write where it stands, though nothing was delivered: what it skipped is not read again by a next owner."""
        self.intake.touch()
        self._keeper.mark()

    async def stop(self) -> None:
        """Stop, and write the position.

        Attempts under way may end for up to 5 s; what is cut off then is repeated by whoever goes on.
        """
        self._running = False
        self._place.close()
        self.intake.leave()
        self._lineup.close()
        self._alarm.off()
        await self._gathering.close()
        if self._in_flight:
            _, cut_off = await asyncio.wait(self._in_flight, timeout=HAND_OVER_S)
            for task in cut_off:
                task.cancel()
            await asyncio.gather(*cut_off, return_exceptions=True)
        self._cut_off += self._gathering.take()
        self.intake.touch()
        self._keeper.mark()
        await self._keeper.flush()

    def waiting(self) -> list[Parked]:
        """The parked events, with when they are due; those in flight are due at once."""
        in_flight = (job for jobs in self._in_flight.values() for job in jobs)
        waiting = {**dict.fromkeys([*self._cut_off, *self._gathering.jobs, *in_flight], 0), **self._lineup.waiting()}
        return [reference(job, due_ms) for job, due_ms in waiting.items() if job.parked]

    def stored(self) -> Stored:
        """What a next runner of the subscription goes on from; to be asked after `stop`."""
        return Stored(
            self.epoch,
            self._writer,
            self.feed_log.token(self.position),
            self.intake.states(),
            self._keeper.lane_keys,
            self.waiting(),
            self.breaker.to_record(time.time()),
            snapshots=self.snapshots,
            unsure=self._keeper.unsure,
        )


def _told(at_s: float | None) -> str | None:
    return None if at_s is None else rfc3339(int(at_s * 1000))
