"""The events of a pull subscription that were read and are not done: which may go next, who has which, which wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position, PositionGone
from headrace.consumers.core.record import Record
from headrace.consumers.relay.ack_id import AckId, whose
from headrace.consumers.relay.counters import Counters
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.intake import Intake
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.keeper import Keeper
from headrace.consumers.relay.leases import Leases
from headrace.consumers.relay.lineup import Job, Lineup, now_ms
from headrace.consumers.relay.order_key import order_key
from headrace.consumers.relay.reports import Reports
from headrace.consumers.relay.rereading import Rereading
from headrace.consumers.relay.router import Router
from headrace.consumers.relay.settling import reference
from headrace.consumers.relay.state import Parked, Stored
from headrace.kafka.offsets import KafkaUnavailable

log = structlog.get_logger(__name__)

AHEAD_EVENTS = 10_000
"""Events that may be leased, or read and waiting for one of their key, at a time."""
TROUBLE_S = 1.0
"""Pause after Kafka failed, before it is asked again."""


class Outstanding:
    """Reads, lines up, leases and settles the events of one pull subscription; `changed` is called when more may go.

    A job is *in flight* from being collected until it is settled, given back or parked; with a lease meanwhile where
    it was granted. `parked` counts those that are kept as references of their own.
    """

    def __init__(
        self,
        subscription: Subscription,
        found: Stored,
        start: Position,
        feed_log: FeedLog,
        *,
        journal: Journal,
        router: Router,
        dead_letter: Callable[[int], Awaitable[Record]],
        changed: Callable[[], None],
    ) -> None:
        self.parked = 0
        self._options = options = subscription.options
        self._name = subscription.id
        self._epoch = found.epoch
        self._whose = whose(subscription.state_key)
        self._changed = changed
        self.intake = Intake(
            found,
            start,
            feed_log,
            router,
            options,
            ahead=AHEAD_EVENTS,
            take=self._take,
            pump=changed,
        )
        self.counters = Counters(feed_log.entry.feed.label, "pull")
        endpoint = found.endpoint
        self.keeper = Keeper(
            subscription.state_key, found, self.intake, journal, lambda: endpoint, self.counters.publish
        )
        self.lineup = Lineup(changed)
        self.leases = Leases(self._expired, self.keeper.withdraw)
        self._reports = Reports(subscription, feed_log, journal)
        self._rereading = Rereading(feed_log, self.lineup, dead_letter)
        # All that were read, and are neither settled nor dead letters, by partition and offset.
        self._jobs: dict[tuple[int, int], Job] = {}
        self._burying: set[asyncio.Task[None]] = set()
        # Leased ones first: of their key nothing else may go.
        for parked in sorted(found.parked, key=lambda p: (not p.leased, p.partition, p.offset)):
            self.restore(parked)

    @property
    def none_given_out(self) -> bool:
        """Whether nothing was given to anybody that is not done, and nothing waits for its time."""
        return self.leases.none and not self.parked and not self._burying

    # Which may go

    async def collect(self, max_events: int) -> list[Job]:
        """Jobs that may go; they are in flight."""
        jobs: list[Job] = []
        try:
            while len(jobs) < max_events:
                job = self.lineup.take()
                if job is None:
                    if self.intake.full or not await self._read_on():
                        break
                elif job.settled:
                    self.lineup.settle(job)  # acknowledged by its position while it waited
                elif job.attempts >= self._options.max_deliveries:
                    self.bury([job], f"not acknowledged in {job.attempts} deliveries")
                else:
                    jobs.append(job)
        except BaseException:
            self.give_back(jobs)
            raise
        return jobs

    async def _read_on(self) -> bool:
        """Read further events; False where there are none."""
        read = self.intake.read_memory()
        if read is not None:
            return read
        before = self.intake.fetched
        try:
            await self.intake.read_history()
        except PositionGone as error:
            # The log dropped events before they were leased: say so, and go on with what is left.
            for partition, first, end in self.intake.skip_to(error.earliest):
                self._reports.lost(partition, first, end)
        self.keeper.mark()
        return self.intake.fetched != before

    async def records(self, jobs: list[Job]) -> dict[Job, Record]:
        """The events of jobs in flight, without those that the log has dropped or that were settled meanwhile."""
        found: dict[Job, Record] = {}
        done: set[Job] = set()
        try:
            for job in jobs:
                try:
                    found[job] = job.record or await self._rereading.record(job, jobs)
                except PositionGone:
                    if not job.settled:
                        self._reports.lost(job.partition, job.offset, job.offset + 1)
                        self.settle(job)
                    self.lineup.settle(job)
                    done.add(job)
        except BaseException:
            self.give_back(job for job in jobs if job not in done)
            raise
        for job in [job for job in found if job.settled]:
            del found[job]
            self.lineup.settle(job)
        return found

    def give_back(self, jobs: Iterable[Job]) -> None:
        """Jobs in flight may go again."""
        for job in jobs:
            self.lineup.put_back(job)
        self._changed()

    def _take(self, record: Record) -> None:
        job = Job(record.partition, record.offset, order_key(record, self._options), record)
        self._jobs[job.partition, job.offset] = job
        self.lineup.add(job)

    def restore(self, parked: Parked) -> None:
        """An event that waits for its time, or is leased, as it was kept."""
        job = Job(parked.partition, parked.offset, parked.key, None, parked.attempt, parked=True, dead=parked.dead)
        self._jobs[job.partition, job.offset] = job
        self.parked += 1
        if not parked.leased:
            self.lineup.add_failed(job, parked.due_ms)
        elif self.lineup.add_taken(job):
            self.leases.restore(job, parked.due_ms)

    # Who has them

    def find(self, ack_ids: Sequence[str]) -> tuple[list[Job], dict[str, str]]:
        """The jobs that these ack ids are good for, and why the others are not."""
        jobs: dict[Job, None] = {}
        refused: dict[str, str] = {}
        now = now_ms()
        for text in ack_ids:
            ack_id = AckId.parse(text)
            if ack_id is None or ack_id.subscription != self._whose:
                refused[text] = "unknown"
            elif ack_id.epoch != self._epoch:
                refused[text] = "moved"
            elif (job := self._jobs.get((ack_id.partition, ack_id.offset))) is None:
                settled = self.intake.settled(ack_id.partition, ack_id.offset)
                refused[text] = "done" if settled else "expired"
            elif job.attempts != ack_id.number or self.leases.until_ms(job) <= now:
                refused[text] = "expired"
            else:
                jobs[job] = None
        return list(jobs), refused

    def waiting(self) -> list[Parked]:
        """The parked events, with when they are due, or when their leases end."""
        due_ms = self.lineup.waiting()
        return [self._parked(job, due_ms.get(job, 0)) for job in self._jobs.values() if job.parked]

    def _parked(self, job: Job, due_ms: int) -> Parked:
        until_ms = self.leases.until_ms(job)
        leased = until_ms > now_ms()
        return Parked(
            job.partition, job.offset, job.attempts, until_ms if leased else due_ms, job.key, job.dead, leased
        )

    def below(self, position: Position) -> list[Job]:
        """Those that lie below a position."""
        return [job for (p, offset), job in self._jobs.items() if p < len(position) and offset < position[p]]

    def has(self, partition: int, offset: int) -> bool:
        """Whether an event is one of these."""
        return (partition, offset) in self._jobs

    def ack_id(self, job: Job) -> AckId:
        """What says that the delivery of a job that was made last is done."""
        return AckId(self._whose, self._epoch, job.partition, job.offset, job.attempts)

    # What becomes of them

    def settle(self, job: Job) -> None:
        """A job is done; its place in the lineup is the caller's, or that of whoever takes it from there."""
        job.settled = True
        del self._jobs[job.partition, job.offset]
        self.leases.forget(job)
        # Of a parked one, too: that it is parked may be newer than what is kept of its lane.
        self.intake.settle(job.partition, job.offset)
        if job.parked:
            self.parked -= 1
        self.keeper.settled(job)

    def _expired(self, jobs: list[Job]) -> None:
        for _ in jobs:
            self.counters.count_failed()
        self.give_back(self.without_exhausted(jobs))

    def without_exhausted(self, jobs: list[Job]) -> list[Job]:
        """Those that may be delivered again; the others become dead letters."""
        exhausted = [job for job in jobs if job.attempts >= self._options.max_deliveries]
        if exhausted:
            self.bury(exhausted, f"not acknowledged in {self._options.max_deliveries} deliveries")
        return [job for job in jobs if job.attempts < self._options.max_deliveries]

    def bury(self, jobs: list[Job], reason: str) -> None:
        """Make dead letters of jobs in flight, in a task."""
        task = asyncio.ensure_future(self._make_dead_letters(jobs, reason))
        self._burying.add(task)
        task.add_done_callback(self._burying.discard)

    async def _make_dead_letters(self, jobs: list[Job], reason: str) -> None:
        for job in jobs:
            try:
                if not job.settled:
                    record = await self._rereading.record(job, jobs)
                    self._reports.dead_letter(record, reason, job.attempts)
            except PositionGone:
                self._reports.lost(job.partition, job.offset, job.offset + 1)
            except KafkaUnavailable as error:
                log.warning("subscription_waits_for_kafka", subscription=self._name, reason=str(error))
                self.lineup.retry_at(job, now_ms() + int(TROUBLE_S * 1000))
                continue
            except Exception:
                log.exception("dead_letter_not_made", subscription=self._name)
                metrics.errors.labels("relay").inc()
                self.lineup.retry_at(job, now_ms() + int(TROUBLE_S * 1000))
                continue
            if not job.settled:
                self.settle(job)
            self.lineup.settle(job)
        self._changed()

    async def park(self, jobs: list[Job], due_ms: int) -> bool:
        """Write references of jobs in flight, and only then let the position step over them."""
        if not await self.keeper.park([reference(job, due_ms) for job in jobs]):
            return False
        for job in jobs:
            if job.settled:
                self.keeper.unpark(job)  # acknowledged by its position while its reference was being written
                self.lineup.settle(job)
                continue
            self.leases.forget(job)
            if not job.parked:
                job.parked = True
                self.parked += 1
                self.intake.settle(job.partition, job.offset)
            job.record = None
            self.lineup.retry_at(job, due_ms)
        self.keeper.mark()
        return True

    def give_up(self, partition: int, offset: int, reason: str) -> None:
        """Make a dead letter of a parked event that waits for its time; one that is leased is left alone."""
        if (job := self.lineup.withdraw(partition, offset)) is not None:
            self.bury([job], reason)

    def close(self) -> None:
        """Nothing is read, becomes due or expires any more."""
        self.intake.leave()
        self.leases.close()
        self.lineup.close()
        for task in list(self._burying):
            task.cancel()
