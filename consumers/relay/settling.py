"""What becomes of events after an attempt: done, tried again from its parked reference, or a dead letter."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import random

from headrace.consumers.core.position import PositionGone
from headrace.consumers.core.record import Record
from headrace.consumers.relay.breaker import Breaker
from headrace.consumers.relay.counters import Counters
from headrace.consumers.relay.endpoint import Outcome
from headrace.consumers.relay.intake import Intake
from headrace.consumers.relay.keeper import Keeper
from headrace.consumers.relay.lineup import Job, Lineup, now_ms
from headrace.consumers.relay.outcome import Verdict
from headrace.consumers.relay.policy import Policy
from headrace.consumers.relay.reports import Reports
from headrace.consumers.relay.rereading import Rereading
from headrace.consumers.relay.state import Parked
from headrace.kafka.offsets import KafkaUnavailable

Tried = list[tuple[Job, Record]]


class TooMany(Exception):
    """More events than may wait."""


class Settling:
    """Settles the events of one subscription.

    Invariant: an event is settled in its lane only once it is delivered, its parked reference is acknowledged, or its
    dead letter is among the reports, which are in Kafka before the lane's position.
    """

    def __init__(
        self,
        policy: Policy,
        breaker: Breaker,
        lineup: Lineup,
        intake: Intake,
        keeper: Keeper,
        reports: Reports,
        rereading: Rereading,
        counters: Counters,
    ) -> None:
        self.parked = 0
        self.last_error: str | None = None
        self._policy = policy
        self._breaker = breaker
        self._lineup = lineup
        self._intake = intake
        self._keeper = keeper
        self._reports = reports
        self._rereading = rereading
        self._counters = counters

    @property
    def full(self) -> bool:
        """Whether so many events are parked that no more should be read."""
        return self.parked >= self._policy.max_parked

    def restore(self, parked: Parked) -> None:
        """A parked event that is to be tried when it is due."""
        job = Job(parked.partition, parked.offset, parked.key, None, parked.attempt, parked=True, dead=parked.dead)
        self.parked += 1
        self._lineup.add_failed(job, parked.due_ms)

    # After an attempt

    def delivered(self, tried: Tried, outcome: Outcome) -> None:
        """The endpoint has taken them."""
        for job, record in tried:
            self._reports.attempt(record, job.attempts + 1, outcome, None)
            self._counters.count_delivered(record.size_bytes, record.timestamp_ms)
            self.settle(job)

    async def failed(self, tried: Tried, outcome: Outcome) -> None:
        """The endpoint has not taken them: each is tried again, or was tried often enough."""
        self.last_error = outcome.error
        self._counters.count_failed()
        at_fault = self._endpoint_at_fault(outcome.verdict)
        disables = outcome.verdict.action == "disable"
        to_park: dict[Job, int] = {}
        for job, record in tried:
            number = job.attempts + 1
            wait_s = self._wait_s(number, outcome.verdict, at_fault)
            due_ms = None if wait_s is None else now_ms() + int(wait_s * 1000)
            if not at_fault or job is tried[0][0]:
                # What was disabled for it is not tried until somebody resumes it. A request that failed by the
                # endpoint's fault is one attempt, whatever was in it: it says nothing of the single events.
                self._reports.attempt(record, number, outcome, None if disables else due_ms)
            if due_ms is None:
                self._reports.dead_letter(record, outcome.error or "refused", number)
                self.settle(job)
            elif at_fault:
                self._lineup.put_back(job)
            else:
                job.attempts = number
                to_park[job] = due_ms
        self._keeper.mark()
        if to_park:
            await self.park(to_park)
            for job, due_ms in to_park.items():
                self._lineup.retry_at(job, due_ms)

    def _endpoint_at_fault(self, verdict: Verdict) -> bool:
        """Whether the endpoint is stopped for it: then the event keeps its attempts and its place."""
        stopped = verdict.action == "disable" or self._breaker.state != "closed"
        return stopped and verdict.health == "failing"

    def _wait_s(self, number: int, verdict: Verdict, at_fault: bool) -> float | None:
        if verdict.action == "dead_letter":
            return None
        if at_fault:
            return max(self._breaker.probe_at_s - time.time(), 0.0)
        schedule = self._policy.schedule
        return (schedule.short if verdict.action == "retry_short" else schedule).wait_s(number, random)

    def settle(self, job: Job) -> None:
        """An event is done."""
        job.settled = True
        # Of a parked one, too: that it is parked may be newer than what is kept of its lane.
        self._intake.settle(job.partition, job.offset)
        if job.parked:
            self.parked -= 1
        self._keeper.settled(job)
        self._lineup.settle(job)

    def lost(self, job: Job) -> None:
        """The log has dropped it."""
        self._reports.lost(job.partition, job.offset, job.offset + 1)
        self.settle(job)

    # Parking

    async def park(self, due_ms: dict[Job, int]) -> None:
        """Write the references of events, and only then let the position step over them."""
        if not await self._keeper.park([reference(job, at) for job, at in due_ms.items()]):
            return  # the events stay unsettled: the position does not step over them
        for job in due_ms:
            if job.settled:
                self._keeper.unpark(job)  # it was delivered while its reference was being written
                continue
            if not job.parked:
                job.parked = True
                self.parked += 1
                self._intake.settle(job.partition, job.offset)
            job.record = None
        self._keeper.mark()

    async def redeliver(self, wanted: Sequence[Parked], waiting: Sequence[Parked]) -> None:
        """Park events to be delivered once more; those that are `waiting` already go at once.

        Raises `TooMany`, `KafkaUnavailable`.
        """
        parked = {(one.partition, one.offset) for one in waiting}
        unsettled = {(p, offset) for p, lane in enumerate(self._intake.lanes()) for offset in lane.offsets()}
        new = [one for one in wanted if (one.partition, one.offset) not in parked | unsettled]
        if self.parked + len(new) > self._policy.max_parked:
            raise TooMany(f"{len(new)} events, and {self.parked} wait already; at most {self._policy.max_parked} may")
        # A removal that is still to be written must not come after what is noted now.
        await self._keeper.flush()
        if not await self._keeper.park(new):
            raise KafkaUnavailable("the events were not noted: ask again")
        for one in new:
            self.restore(one)
        self._lineup.hurry({(one.partition, one.offset) for one in wanted} & parked)

    async def give_up(self, partition: int, offset: int, reason: str) -> None:
        """Make a dead letter of a parked event that waits for its time; one in flight is left alone."""
        job = self._lineup.withdraw(partition, offset)
        if job is None:
            return
        try:
            record = await self._rereading.record(job)
        except PositionGone:
            self.lost(job)
            return
        except KafkaUnavailable:
            self._lineup.put_back(job)
            raise
        self._reports.dead_letter(record, f"{reason}; {self.last_error or 'not tried yet'}", job.attempts)
        self.settle(job)


def reference(job: Job, due_ms: int) -> Parked:
    """What is kept of a job that is parked."""
    return Parked(job.partition, job.offset, job.attempts, due_ms, job.key, job.dead)
