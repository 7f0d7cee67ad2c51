"""Who was given which events of a pull subscription, and until when."""

from __future__ import annotations

import heapq
import itertools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headrace.consumers.relay.alarm import Alarm
from headrace.consumers.relay.grant import Grant, Leased
from headrace.consumers.relay.lineup import Job, now_ms

KEPT = 64
"""Ends of leases that are kept at most besides those of leases, and as many again, before they are swept."""


@dataclass(slots=True, eq=False)
class Held:
    """A grant as its owner has it.

    `left` counts the events whose newest record it is, `out` those that are leased by it. `name` is empty for a lease
    of an owner before: its record is the event's parked reference.
    """

    name: str
    until_ms: int
    jobs: tuple[Job, ...]
    left: int
    out: int


class Leases:
    """The leases of one subscription, on the event loop.

    `expired` is called with the jobs whose leases have run out; `over` with the name of a grant that counts for no
    event any more. Invariants: a job that is leased is in flight in the lineup. The number of a lease is `attempts` of
    its job. The newest grant of a job stays in Kafka until the job is settled or parked, also when it has run out: it
    tells a next owner how often the event was delivered.
    """

    def __init__(self, expired: Callable[[list[Job]], None], over: Callable[[str], None]) -> None:
        self._expired = expired
        self._over = over
        self._leased: dict[Job, Held] = {}
        self._newest: dict[Job, Held] = {}
        self._ends: list[tuple[int, int, Held]] = []
        self._numbers = itertools.count()
        # Names of an owner before may still come from it, however late: no name is given by two.
        self._prefix = secrets.token_hex(6)
        self._alarm = Alarm(self._ring)
        self._closed = False
        self._over_early = 0

    def __len__(self) -> int:
        return len(self._leased)

    @property
    def none(self) -> bool:
        """Whether nothing is leased, and nothing that was is still to be settled."""
        return not self._leased and not self._newest

    def has(self, job: Job) -> bool:
        """Whether the job is leased; also where its lease has ended, and that was not told yet."""
        return job in self._leased

    def until_ms(self, job: Job) -> int:
        """When the lease of a job ends; 0 where nobody has it."""
        held = self._leased.get(job)
        return 0 if held is None else held.until_ms

    def hold(self, jobs: Iterable[Job], until_ms: int) -> Held:
        """Lease jobs until a time; those that are leased already have their leases changed.

        To be written by the caller, who then calls `written`.
        """
        jobs = tuple(jobs)
        held = Held(f"{self._prefix}.{next(self._numbers)}", until_ms, jobs, len(jobs), len(jobs))
        for job in jobs:
            self.release(job)
            self._leased[job] = held
        self._ring_for(held)
        return held

    def restore(self, job: Job, until_ms: int) -> None:
        """A lease of an owner before."""
        held = Held("", until_ms, (job,), 0, 1)
        self._leased[job] = held
        self._ring_for(held)

    def record(self, held: Held) -> Grant:
        """What is to be written of it."""
        return Grant(held.until_ms, tuple(Leased(j.partition, j.offset, j.attempts, j.key) for j in held.jobs))

    def written(self, held: Held) -> None:
        """It is in Kafka: what was there before of its jobs does not count any more."""
        for job in held.jobs:
            if job.settled:
                self._count_down(held)
                continue
            before = self._newest.get(job)
            self._newest[job] = held
            if before is not None:
                self._count_down(before)

    def holds(self, held: Held, job: Job) -> bool:
        """Whether a job is leased by this grant still: it may have run out while it was written."""
        return self._leased.get(job) is held

    def not_written(self, held: Held) -> None:
        """It is not in Kafka, or may be: nobody was told of it."""
        for job in held.jobs:
            if self._leased.get(job) is held:
                self.release(job)
        self._over(held.name)

    def release(self, job: Job) -> None:
        """Nobody has the job any more."""
        held = self._leased.pop(job, None)
        if held is not None:
            held.out -= 1
            if not held.out:
                self._over_early += 1
                if self._over_early > max(len(self._ends) // 2, KEPT):
                    self._sweep()

    def _sweep(self) -> None:
        """Leases may last for hours, and most are over in no time: those are not kept until their time."""
        self._ends = [end for end in self._ends if end[2].out]
        heapq.heapify(self._ends)
        self._over_early = 0

    def forget(self, job: Job) -> None:
        """The job is settled, or its parked reference is in Kafka: its grant does not count any more."""
        self.release(job)
        if (held := self._newest.pop(job, None)) is not None:
            self._count_down(held)

    def _count_down(self, held: Held) -> None:
        held.left -= 1
        if not held.left:
            self._over(held.name)

    def grants(self) -> dict[str, Grant]:
        """What a next owner must know, by name: of jobs that are neither settled nor parked since."""
        found: dict[str, list[Job]] = {}
        ends: dict[str, int] = {}
        for job, held in self._newest.items():
            found.setdefault(held.name, []).append(job)
            ends[held.name] = held.until_ms
        return {
            name: Grant(ends[name], tuple(Leased(j.partition, j.offset, j.attempts, j.key) for j in jobs))
            for name, jobs in found.items()
        }

    # Time-out

    def _ring_for(self, held: Held) -> None:
        heapq.heappush(self._ends, (held.until_ms, next(self._numbers), held))
        if self._ends[0][2] is held:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._ends and not self._closed:
            self._alarm.set((self._ends[0][0] - now_ms()) / 1000)
        else:
            self._alarm.off()

    def _ring(self) -> None:
        now, ended = now_ms(), list[Job]()
        over = 0
        while self._ends and self._ends[0][0] <= now:
            held = heapq.heappop(self._ends)[2]
            ended += [job for job in held.jobs if self._leased.get(job) is held]
            over += 1
        for job in ended:
            self.release(job)
        self._over_early = max(self._over_early - over, 0)
        self._set_alarm()
        if ended:
            self._expired(ended)

    def close(self) -> None:
        """No lease ends any more."""
        self._closed = True
        self._set_alarm()
