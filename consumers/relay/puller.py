"""A subscription that is pulled from: events are leased to workers, who acknowledge them, or give them back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.core.record import Record
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.lineup import Job, now_ms
from headrace.consumers.relay.outstanding import Outstanding
from headrace.consumers.relay.router import Router
from headrace.consumers.relay.settling import TooMany
from headrace.consumers.relay.state import Parked, Stored
from headrace.consumers.relay.under_way import UnderWay
from headrace.consumers.subscription_answers import Status
from headrace.kafka.offsets import KafkaUnavailable

HAND_OVER_S = 5.0
"""How long calls under way may still take when the subscription goes to another owner."""
IDLE_S = 60.0
"""Whoever was not asked for so long, and has nothing under way, may come to rest."""


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
        self._calls = UnderWay()
        self._events = Outstanding(
            subscription,
            found,
            start,
            feed_log,
            journal=journal,
            router=router,
            dead_letter=dead_letter,
            changed=self._calls.wake,
        )
        self.intake = self._events.intake
        self._lease_s = subscription.options.lease_s
        self._max_parked = max_parked
        self._endpoint = found.endpoint
        self._acked, self._failed_before = counted
        self._turn = asyncio.Lock()
        self._waiters = 0

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
    def parked(self) -> int:
        """Events that wait for their time, or are leased since another owner."""
        return self._events.parked

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
        calls = self._calls
        busy = calls.count or self._waiters or calls.ended
        return not busy and self._events.none_given_out and asyncio.get_running_loop().time() - calls.last_s > IDLE_S

    @property
    def counted(self) -> tuple[int, int]:
        """What was acknowledged, and how often a delivery failed."""
        return self._acked, self._failed_before + self._events.counters.failed

    def status(self) -> Status:
        """How it stands now."""
        delivered, failed = self.counted
        return {
            "offset": self.feed_log.token(self.position),
            "epoch": self.epoch,
            "lag": self.lag,
            "in_flight": len(self._events.leases),
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
                    with self._calls.call():
                        jobs = await self._events.collect(max_events)
                if jobs and (deliveries := await self._grant(jobs, lease_s or self._lease_s)):
                    return deliveries
                if (left_s := deadline_s - loop.time()) <= 0:
                    return []
                if not jobs:
                    await self._calls.change(left_s)
        finally:
            self._waiters -= 1
            if not self._waiters:
                self.intake.leave()

    async def _grant(self, jobs: list[Job], lease_s: float) -> list[Delivery]:
        """Lease jobs, and return once that is in Kafka."""
        with self._calls.call():
            records = await self._events.records(jobs)
            if not records:
                return []
            for job in records:
                job.attempts += 1
            held = self._events.leases.hold(records, now_ms() + int(lease_s * 1000))
            try:
                await self._events.keeper.grant(held.name, self._events.leases.record(held))
                self._events.leases.written(held)
            except BaseException:
                # Nobody was told. What has run out meanwhile was given back then, and others may have it.
                still = [job for job in records if self._events.leases.holds(held, job)]
                self._events.leases.not_written(held)
                for job in still:
                    job.attempts -= 1
                self._events.give_back(still)
                raise
        deliveries = []
        for job, record in records.items():
            if not self._events.leases.holds(held, job):
                continue
            ack_id = self._events.ack_id(job)
            deliveries.append(Delivery(str(ack_id), job.attempts, self.feed_log.json(record)))
            if job.attempts == 1:
                self._events.counters.count_delivered(record.size_bytes, record.timestamp_ms)
            job.record = None  # it may be leased for long, and is read again where it must
        return deliveries

    # What workers say

    async def ack(self, ack_ids: Sequence[str]) -> dict[str, str]:
        """Events are done. Returns once that is in Kafka: those that it does not hold for, with the reason.

        Raises `Stopped`, `Undelivered`, `QueueFull`.
        """
        with self._calls.call():
            jobs, refused = self._events.find(ack_ids)
            for job in jobs:
                self._events.settle(job)
            self._acked += len(jobs)
            try:
                await self._events.keeper.commit()
            finally:
                for job in jobs:
                    self._events.lineup.settle(job)
                self._calls.wake()
        return {text: why for text, why in refused.items() if why != "done"}

    async def nack(self, ack_ids: Sequence[str], delay_s: float) -> dict[str, str]:
        """Events are given back, to be leased again after a delay. Returns what `ack` does.

        Raises `Stopped`, `KafkaUnavailable`.
        """
        with self._calls.call():
            jobs, refused = self._events.find(ack_ids)
            for job in jobs:
                self._events.leases.release(job)
                self._events.counters.count_failed()
            again = self._events.without_exhausted(jobs)
            if delay_s:
                due_ms = now_ms() + int(delay_s * 1000)
                if not await self._events.park(again, due_ms):
                    self._events.give_back(again)
                    raise KafkaUnavailable("the delay was not noted: the events are given back at once")
            else:
                self._events.give_back(again)
        return refused

    async def extend(self, ack_ids: Sequence[str], lease_s: float | None) -> dict[str, str]:
        """The leases of events end so long from now. Returns what `ack` does; raises what `lease` does."""
        with self._calls.call():
            jobs, refused = self._events.find(ack_ids)
            if jobs:
                held = self._events.leases.hold(jobs, now_ms() + int((lease_s or self._lease_s) * 1000))
                try:
                    await self._events.keeper.grant(held.name, self._events.leases.record(held))
                except BaseException:
                    self._events.keeper.withdraw(held.name)
                    raise
                self._events.leases.written(held)
        return refused

    async def acknowledge(self, position: Position) -> None:
        """Take all below a position for done, also what is leased. Returns once that is in Kafka.

        Raises `Stopped`, `Undelivered`, `QueueFull`.
        """
        # Not while another reads on: what that brings may lie below.
        async with self._turn:
            with self._calls.call():
                below = self._events.below(position)
                in_flight = [job for job in below if self._events.leases.has(job)]
                for job in below:
                    self._events.settle(job)
                # Those that wait for their time leave the line now: others of their key wait behind them.
                self._events.lineup.hurry({(job.partition, job.offset) for job in below})
                self._acked += len(below)
                self.intake.leave()
                self.intake.skip_to(position)
                self._events.keeper.settled_below(position)
                self._events.keeper.mark()
                try:
                    await self._events.keeper.commit()
                finally:
                    for job in in_flight:
                        self._events.lineup.settle(job)
                    self._calls.wake()

    async def redeliver(self, wanted: Sequence[Parked]) -> int:
        """Deliver events once more. Returns how many it is; raises `TooMany`, `KafkaUnavailable`, `Stopped`."""
        with self._calls.call():
            new = [one for one in wanted if not self._events.has(one.partition, one.offset)]
            if self.parked + len(new) > self._max_parked:
                raise TooMany(f"{len(new)} events, and {self.parked} wait already; at most {self._max_parked} may")
            # A removal that is still to be written must not come after what is noted now.
            await self._events.keeper.flush()
            if not await self._events.keeper.park(new):
                raise KafkaUnavailable("the events were not noted: ask again")
            for one in new:
                if not self._events.has(one.partition, one.offset):
                    self._events.restore(one)
            self._events.lineup.hurry({(one.partition, one.offset) for one in wanted})
            self._calls.wake()
        return len(wanted)

    async def give_up(self, partition: int, offset: int, reason: str) -> None:
        """Make a dead letter of a parked event that waits for its time; one that is leased is left alone."""
        self._events.give_up(partition, offset, reason)

    def waiting(self) -> list[Parked]:
        """The parked events, with when they are due, or when their leases end."""
        return self._events.waiting()

    # Its end

    def touch(self) -> None:
        """Write where it stands: what it skipped is not read again by a next owner."""
        self.intake.touch()
        self._events.keeper.mark()

    async def stop(self) -> None:
        """Stop, and write the position. Calls that wait are ended; those at work may end for up to 5 s."""
        self._calls.begin_to_end()
        self._events.close()
        await self._calls.end(HAND_OVER_S)
        self.intake.touch()
        self._events.keeper.mark()
        await self._events.keeper.flush()
        self._events.keeper.close()

    def stored(self) -> Stored:
        """What a next runner of the subscription goes on from; to be asked after `stop`."""
        return Stored(
            self.epoch,
            self._writer,
            self.feed_log.token(self.position),
            self.intake.states(),
            self._events.keeper.lane_keys,
            self.waiting(),
            self._endpoint,
            self._events.leases.grants(),
            self.snapshots,
            unsure=self._events.keeper.unsure,
        )
