"""A subscription that is pulled from: events are leased to workers, who acknowledge them, or give them back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position, PositionGone
from headrace.consumers.core.record import Record
from headrace.consumers.filter.expression import Filter
from headrace.consumers.relay.ack_id import AckId, whose
from headrace.consumers.relay.counters import Counters
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.intake import Intake
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.keeper import Keeper
from headrace.consumers.relay.leases import Leases
from headrace.consumers.relay.lineup import Job, Lineup, now_ms
from headrace.consumers.relay.reports import Reports
from headrace.consumers.relay.rereading import Rereading
from headrace.consumers.relay.router import Router
from headrace.consumers.relay.settling import TooMany, reference
from headrace.consumers.relay.state import Parked, Stored
from headrace.consumers.subscription_answers import Status
from headrace.kafka.offsets import KafkaUnavailable

log = structlog.get_logger(__name__)

AHEAD_EVENTS = 10_000
"""Events that may be leased, or read and waiting for one of their key, at a time."""
HAND_OVER_S = 5.0
"""How long calls under way may still take when the subscription goes to another owner."""
IDLE_S = 60.0
"""Whoever was not asked for so long, and has nothing under way, may come to rest."""
TROUBLE_S = 1.0
"""Pause after Kafka failed, before it is asked again."""


class Stopped(Exception):
    """It runs here no more: its next runner, here or elsewhere, is to be asked."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that was leased: its ack id, which delivery of it this is, and its JSON."""

    ack_id: str
    number: int
    event: bytes


class Puller:
    """Runs one pull subscription on its owner, on the event loop; beside `Runner`, of the same parts.

    Nothing runs while nobody asks. A call for events takes from the `Lineup` those that may go, reads on where there
    are none, and stands at the tail only while it waits: so one that nobody asks keeps no events.

    **A lease is held by one at a time.** Within this process the lineup gives a job to one call; it is in flight until
    it is settled, given back or expired. From owner to owner the grant does it: it is acknowledged by Kafka before the
    call is answered, a new owner reads it, and holds the event back until its time. An owner that was frozen, and does
    not know yet that it has a successor, may write a grant that this one did not read; so the answer goes out only
    when Kafka has taken us for the owner after the grant was written (`Calls`): then whoever became the owner
    since has read it. A grant nobody was told of only delays its events for a next owner, until its time.

    **An acknowledged event does not come back.** The lane that says so is in Kafka before the call is answered; calls
    at the same time share one write. It needs no such confirmation to be true, as it is a true statement whoever makes
    it; but one that a successor did not read would be repeated by it, so `Calls` confirms that, too. The next event
    of a key goes only after the write, so that no next owner finds two of a key leased.

    Ack ids of an epoch before, and of a delivery that was not the last, are refused one by one.
    """

    def __init__(
        self,
        subscription: Subscription,
        found: Stored,
        start: Position,
        feed_log: FeedLog,
        *,
        max_parked: int,
        journal: Journal,
        router: Router,
        dead_letter: Callable[[int], Awaitable[Record]],
        counted: tuple[int, int],
    ) -> None:
        self.subscription = subscription
        self.feed_log = feed_log
        self.epoch = found.epoch
        self._writer = found.writer
        self.snapshots = found.snapshots
        self.hours_until_loss: float | None = None
        self.parked = 0
        options = subscription.options
        self.intake = Intake(
            found,
            start,
            feed_log,
            router,
            filter=None if options.filter is None else Filter.parse(options.filter),
            types=frozenset(options.types),
            ahead=AHEAD_EVENTS,
            take=self._take,
            pump=self._wake,
        )
        self._options = options
        self._max_parked = max_parked
        self._endpoint = found.endpoint
        self._whose = whose(subscription.state_key)
        self._reports = Reports(subscription, feed_log, journal)
        self._counters = Counters(subscription.feed, "pull")
        self._lineup = Lineup(self._wake)
        self._keeper = Keeper(
            subscription.state_key, found, self.intake, journal, lambda: self._endpoint, self._counters.publish
        )
        self._rereading = Rereading(feed_log, self._lineup, dead_letter)
        self._leases = Leases(self._expired, self._keeper.withdraw)
        # All that were read, and are neither settled nor dead letters, by partition and offset.
        self._jobs: dict[tuple[int, int], Job] = {}
        self._acked, self._failed_before = counted
        self._asked_s = asyncio.get_running_loop().time()
        self._stopped = False
        self._abandoned = False
        self._turn = asyncio.Lock()
        self._waiters = 0
        self._changed: asyncio.Future[None] | None = None
        self._calls = 0
        self._burying: set[asyncio.Task[None]] = set()
        # Leased ones first: of their key nothing else may go.
        for parked in sorted(found.parked, key=lambda p: (not p.leased, p.partition, p.offset)):
            self._restore(parked)

    # What people see

    @property
    def position(self) -> Position:
        """Per partition, the first offset that is not settled."""
        return self.intake.position

    @property
    def lag(self) -> int:
        """Events of the feed that were not acknowledged yet, counted in offsets."""
        return self.intake.lag + self.parked

    @property
    def in_flight(self) -> int:
        """Requests under way to an endpoint: there is none."""
        return 0

    @property
    def breaker_number(self) -> None:
        """It has no endpoint."""

    @property
    def idle(self) -> bool:
        """Whether nobody has asked for a while, and nothing of it was given out or waits for its time."""
        busy = self._calls or self._waiters or self.parked or self._burying or self._stopped
        return not busy and self._leases.none and asyncio.get_running_loop().time() - self._asked_s > IDLE_S

    @property
    def counted(self) -> tuple[int, int]:
        """What was acknowledged, and how often a delivery failed."""
        return self._acked, self._failed_before + self._counters.failed

    def status(self) -> Status:
        """How it stands now."""
        delivered, failed = self.counted
        return {
            "offset": self.feed_log.token(self.position),
            "epoch": self.epoch,
            "lag": self.lag,
            "in_flight": len(self._leases),
            "workers_waiting": self._waiters,
            "parked": self.parked,
            "delivered": delivered,
            "failed": failed,
            "hours_until_loss": self.hours_until_loss,
            "last_error": None,
            "breaker": None,
        }

    # Leasing

    async def lease(self, max_events: int, wait_s: float, lease_s: float | None) -> list[Delivery]:
        """Events for one worker, none where there were none within `wait_s`.

        Raises `Stopped`, `KafkaUnavailable`, `Undelivered`, `QueueFull`.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        self._waiters += 1
        try:
            while True:
                async with self._turn:
                    with self._at_work():
                        jobs = await self._collect(max_events)
                if jobs and (deliveries := await self._grant(jobs, lease_s or self._options.lease_s)):
                    return deliveries
                if (left_s := deadline_s - loop.time()) <= 0:
                    return []
                if not jobs:
                    await self._change(left_s)
        finally:
            self._waiters -= 1
            if not self._waiters:
                self.intake.leave()

    async def _collect(self, max_events: int) -> list[Job]:
        """Jobs that may go; they are in flight."""
        jobs: list[Job] = []
        try:
            while len(jobs) < max_events:
                job = self._lineup.take()
                if job is None:
                    if self.intake.full or not await self._read_on():
                        break
                elif job.settled:
                    self._lineup.settle(job)  # acknowledged by its position while it waited
                elif job.attempts >= self._options.max_deliveries:
                    self._bury([job], f"not acknowledged in {job.attempts} deliveries")
                else:
                    jobs.append(job)
            self._check()
        except BaseException:
            self._give_back(jobs)
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
        self._keeper.mark()
        return self.intake.fetched != before

    async def _grant(self, jobs: list[Job], lease_s: float) -> list[Delivery]:
        """Lease jobs, and return once that is in Kafka."""
        with self._at_work():
            records = await self._records(jobs)
            if not records:
                return []
            for job in records:
                job.attempts += 1
            held = self._leases.hold(records, now_ms() + int(lease_s * 1000))
            try:
                await self._keeper.grant(held.name, self._leases.record(held))
                self._leases.written(held)
            except BaseException:
                # Nobody was told.
                self._leases.not_written(held)
                for job in records:
                    job.attempts -= 1
                self._give_back(job for job in records if not job.settled)
                raise
        deliveries = []
        for job, record in records.items():
            ack_id = AckId(self._whose, self.epoch, job.partition, job.offset, job.attempts)
            deliveries.append(Delivery(str(ack_id), job.attempts, self.feed_log.json(record)))
            if job.attempts == 1:
                self._counters.count_delivered(record.size_bytes, record.timestamp_ms)
            job.record = None  # it may be leased for long, and is read again where it must
        return deliveries

    async def _records(self, jobs: list[Job]) -> dict[Job, Record]:
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
                        self._settle(job)
                    self._lineup.settle(job)
                    done.add(job)
        except BaseException:
            self._give_back(job for job in jobs if job not in done)
            raise
        for job in [job for job in found if job.settled]:
            del found[job]
            self._lineup.settle(job)
        return found

    def _give_back(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._lineup.put_back(job)
        self._wake()

    # What workers say

    async def ack(self, ack_ids: Sequence[str]) -> dict[str, str]:
        """Events are done. Returns once that is in Kafka: those that it does not hold for, with the reason.

        Raises `Stopped`, `Undelivered`, `QueueFull`.
        """
        with self._at_work():
            jobs, refused = self._leased(ack_ids)
            for job in jobs:
                self._settle(job)
            self._acked += len(jobs)
            try:
                await self._keeper.commit()
            finally:
                for job in jobs:
                    self._lineup.settle(job)
                self._wake()
        return {text: why for text, why in refused.items() if why != "done"}

    async def nack(self, ack_ids: Sequence[str], delay_s: float) -> dict[str, str]:
        """Events are given back, to be leased again after a delay. Returns what `ack` does.

        Raises `Stopped`, `KafkaUnavailable`.
        """
        with self._at_work():
            jobs, refused = self._leased(ack_ids)
            for job in jobs:
                self._leases.release(job)
                self._counters.count_failed()
            again = self._without_exhausted(jobs)
            if delay_s:
                due_ms = now_ms() + int(delay_s * 1000)
                if not await self._park(again, due_ms):
                    self._give_back(again)
                    raise KafkaUnavailable("the delay was not noted: the events are given back at once")
            else:
                self._give_back(again)
        return refused

    async def extend(self, ack_ids: Sequence[str], lease_s: float | None) -> dict[str, str]:
        """The leases of events end so long from now. Returns what `ack` does; raises what `lease` does."""
        with self._at_work():
            jobs, refused = self._leased(ack_ids)
            if jobs:
                held = self._leases.hold(jobs, now_ms() + int((lease_s or self._options.lease_s) * 1000))
                try:
                    await self._keeper.grant(held.name, self._leases.record(held))
                except BaseException:
                    self._keeper.withdraw(held.name)
                    raise
                self._leases.written(held)
        return refused

    def _leased(self, ack_ids: Sequence[str]) -> tuple[list[Job], dict[str, str]]:
        """The jobs that these ack ids are good for, and why the others are not."""
        jobs: dict[Job, None] = {}
        refused: dict[str, str] = {}
        now = now_ms()
        for text in ack_ids:
            ack_id = AckId.parse(text)
            if ack_id is None or ack_id.subscription != self._whose:
                refused[text] = "unknown"
            elif ack_id.epoch != self.epoch:
                refused[text] = "moved"
            elif (job := self._jobs.get((ack_id.partition, ack_id.offset))) is None:
                settled = self.intake.settled(ack_id.partition, ack_id.offset)
                refused[text] = "done" if settled else "expired"
            elif job.attempts != ack_id.number or self._leases.until_ms(job) <= now:
                refused[text] = "expired"
            else:
                jobs[job] = None
        return list(jobs), refused

    async def acknowledge(self, position: Position) -> None:
        """Take all below a position for done, also what is leased. Returns once that is in Kafka.

        Raises `Stopped`, `Undelivered`, `QueueFull`.
        """
        # Not while another reads on: what that brings may lie below.
        async with self._turn:
            with self._at_work():
                below = [job for (p, offset), job in self._jobs.items() if p < len(position) and offset < position[p]]
                in_flight = [job for job in below if self._leases.has(job)]
                for job in below:
                    self._settle(job)
                # Those that wait for their time leave the line now: others of their key wait behind them.
                self._lineup.hurry({(job.partition, job.offset) for job in below})
                self._acked += len(below)
                self.intake.leave()
                self.intake.skip_to(position)
                self._keeper.mark()
                try:
                    await self._keeper.commit()
                finally:
                    for job in in_flight:
                        self._lineup.settle(job)
                    self._wake()

    # What becomes of events

    def _take(self, record: Record) -> None:
        key = record.key if self._options.ordering == "key" else None
        job = Job(record.partition, record.offset, key, record)
        self._jobs[job.partition, job.offset] = job
        self._lineup.add(job)

    def _restore(self, parked: Parked) -> None:
        job = Job(parked.partition, parked.offset, parked.key, None, parked.attempt, parked=True, dead=parked.dead)
        self._jobs[job.partition, job.offset] = job
        self.parked += 1
        if not parked.leased:
            self._lineup.add_failed(job, parked.due_ms)
        elif self._lineup.add_taken(job):
            self._leases.restore(job, parked.due_ms)

    def _settle(self, job: Job) -> None:
        """A job is done; its place in the lineup is the caller's, or that of whoever takes it from there."""
        job.settled = True
        del self._jobs[job.partition, job.offset]
        self._leases.forget(job)
        if job.parked:
            self.parked -= 1
            self._keeper.unpark(job)
        else:
            self.intake.settle(job.partition, job.offset)
            self._keeper.mark()

    def _expired(self, jobs: list[Job]) -> None:
        for _ in jobs:
            self._counters.count_failed()
        self._give_back(self._without_exhausted(jobs))

    def _without_exhausted(self, jobs: list[Job]) -> list[Job]:
        """Those that may be delivered again; the others become dead letters."""
        exhausted = [job for job in jobs if job.attempts >= self._options.max_deliveries]
        if exhausted:
            self._bury(exhausted, f"not acknowledged in {self._options.max_deliveries} deliveries")
        return [job for job in jobs if job.attempts < self._options.max_deliveries]

    def _bury(self, jobs: list[Job], reason: str) -> None:
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
                log.warning("subscription_waits_for_kafka", subscription=self.subscription.id, reason=str(error))
                self._lineup.retry_at(job, now_ms() + int(TROUBLE_S * 1000))
                continue
            except Exception:
                log.exception("dead_letter_not_made", subscription=self.subscription.id)
                metrics.errors.labels("relay").inc()
                self._lineup.retry_at(job, now_ms() + int(TROUBLE_S * 1000))
                continue
            if not job.settled:
                self._settle(job)
            self._lineup.settle(job)
        self._wake()

    async def _park(self, jobs: list[Job], due_ms: int) -> bool:
        """Write references of jobs in flight, and only then let the position step over them."""
        if not await self._keeper.park([reference(job, due_ms) for job in jobs]):
            return False
        for job in jobs:
            if job.settled:
                self._keeper.unpark(job)  # acknowledged by its position while its reference was being written
                self._lineup.settle(job)
                continue
            self._leases.forget(job)
            if not job.parked:
                job.parked = True
                self.parked += 1
                self.intake.settle(job.partition, job.offset)
            job.record = None
            self._lineup.retry_at(job, due_ms)
        self._keeper.mark()
        return True

    async def redeliver(self, wanted: Sequence[Parked]) -> int:
        """Deliver events once more. Returns how many it is; raises `TooMany`, `KafkaUnavailable`, `Stopped`."""
        with self._at_work():
            new = [one for one in wanted if (one.partition, one.offset) not in self._jobs]
            if self.parked + len(new) > self._max_parked:
                raise TooMany(f"{len(new)} events, and {self.parked} wait already; at most {self._max_parked} may")
            # A removal that is still to be written must not come after what is noted now.
            await self._keeper.flush()
            if not await self._keeper.park(new):
                raise KafkaUnavailable("the events were not noted: ask again")
            for one in new:
                if (one.partition, one.offset) not in self._jobs:
                    self._restore(one)
            self._lineup.hurry({(one.partition, one.offset) for one in wanted})
            self._wake()
        return len(wanted)

    async def give_up(self, partition: int, offset: int, reason: str) -> None:
        """Make a dead letter of a parked event that waits for its time; one that is leased is left alone."""
        if (job := self._lineup.withdraw(partition, offset)) is not None:
            self._bury([job], reason)

    # Its end

    def touch(self) -> None:
        """Write where it stands: what it skipped is not read again by a next owner."""
        self.intake.touch()
        self._keeper.mark()

    async def stop(self) -> None:
        """Stop, and write the position. Calls that wait are ended; those at work may end for up to 5 s."""
        self._stopped = True
        self._wake()
        self.intake.leave()
        self._leases.close()
        self._lineup.close()
        for task in list(self._burying):
            task.cancel()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + HAND_OVER_S
        while self._calls and (left_s := deadline_s - loop.time()) > 0:
            await self._change(left_s)
        self._abandoned = self._calls > 0
        self.intake.touch()
        self._keeper.mark()
        await self._keeper.flush()
        self._keeper.close()

    def waiting(self) -> list[Parked]:
        """The parked events, with when they are due, or when their leases end."""
        due_ms = self._lineup.waiting()
        return [self._parked(job, due_ms.get(job, 0)) for job in self._jobs.values() if job.parked]

    def _parked(self, job: Job, due_ms: int) -> Parked:
        until_ms = self._leases.until_ms(job)
        leased = until_ms > now_ms()
        return Parked(
            job.partition, job.offset, job.attempts, until_ms if leased else due_ms, job.key, job.dead, leased
        )

    def stored(self) -> Stored:
        """What a next runner of the subscription goes on from; to be asked after `stop`."""
        return Stored(
            self.epoch,
            self._writer,
            self.feed_log.token(self.position),
            self.intake.states(),
            self._keeper.lane_keys,
            self.waiting(),
            self._endpoint,
            self._leases.grants(),
            self.snapshots,
        )

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """`stop` waits for it."""
        self._check()
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self._asked_s = asyncio.get_running_loop().time()
            if self._stopped:
                self._wake()
        if self._abandoned:
            raise Stopped  # a next owner may not have read what was written

    def _check(self) -> None:
        if self._stopped:
            raise Stopped

    def _wake(self) -> None:
        """Something has changed for those that wait."""
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None

    async def _change(self, timeout_s: float) -> None:
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._changed}, timeout=timeout_s)
