"""Which event of a subscription goes next."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headrace.consumers.core.record import Record
from headrace.consumers.relay.alarm import Alarm


@dataclass(slots=True, eq=False)
class Job:
    """An event on its way. `record` is None where it must be read again; `parked`: its reference is in Kafka.

    `key` is its `order_key`. `settled`: it is done. `dead`: see `Parked`.
    """

    partition: int
    offset: int
    key: bytes | None
    record: Record | None
    attempts: int = 0
    parked: bool = False
    settled: bool = False
    dead: int | None = None


class Lineup:
    """The events of a subscription that were read and are not done.

    Invariants: the jobs of a key form a chain in the order in which they were added, of which only the first is ready,
    in flight (taken, and neither settled, put back nor to be retried) or due at a later time; the rest wait behind it.
    A job without a key waits for none. What has become due goes before what is new; what is new goes in its order.

    `on_due` is called on the event loop when jobs have become due and are ready: not where it is None, nor after
    `close`. Then they stay due.
    """

    def __init__(self, on_due: Callable[[], None] | None) -> None:
        self._on_due = on_due
        self._ready: deque[Job] = deque()
        self._due_again: deque[Job] = deque()
        self._chains: dict[bytes, deque[Job]] = {}
        self._due: list[tuple[int, int, Job]] = []
        self._ties = itertools.count()
        self._alarm = Alarm(self._ring)

    def add(self, job: Job) -> None:
        """A new event: the last of its key."""
        if self._heads_its_chain(job):
            self._ready.append(job)

    def add_failed(self, job: Job, due_ms: int) -> None:
        """An event that failed under an owner before: due at its time, or when all before it of its key are done."""
        if self._heads_its_chain(job):
            self.retry_at(job, due_ms)

    def add_taken(self, job: Job) -> bool:
        """An event that is in flight since an owner before; False where one of its key goes before it."""
        return self._heads_its_chain(job)

    def _heads_its_chain(self, job: Job) -> bool:
        """Put a job at the end of the chain of its key; True where there is none before it."""
        if job.key is None:
            return True
        chain = self._chains.setdefault(job.key, deque())
        chain.append(job)
        return len(chain) == 1

    def take(self) -> Job | None:
        """The next that may go, if there is one; it is in flight until `settle`, `put_back` or `retry_at`."""
        if self._due_again:
            return self._due_again.popleft()
        return self.take_new()

    def take_new(self) -> Job | None:
        """The next of those that have not failed."""
        return self._ready.popleft() if self._ready else None

    def put_back(self, job: Job) -> None:
        """A job in flight has failed through no fault of its own: it goes again, when those like it had their turn."""
        # Not first: one that fails whatever the endpoint does would be every probe, and keep the others waiting.
        self._due_again.append(job)

    def settle(self, job: Job) -> None:
        """A job in flight is done: the next of its key may go."""
        if job.key is not None:
            chain = self._chains[job.key]
            chain.popleft()
            if chain:
                self._ready.append(chain[0])
            else:
                del self._chains[job.key]

    def retry_at(self, job: Job, due_ms: int) -> None:
        """A job in flight has failed: it is ready again at a time in milliseconds since 1970."""
        heapq.heappush(self._due, (due_ms, next(self._ties), job))
        if self._due[0][2] is job:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._due and self._on_due is not None:
            self._alarm.set((self._due[0][0] - now_ms()) / 1000)
        else:
            self._alarm.off()

    def _ring(self) -> None:
        now = now_ms()
        while self._due and self._due[0][0] <= now:
            self._due_again.append(heapq.heappop(self._due)[2])
        self._set_alarm()
        if self._on_due is not None:
            self._on_due()

    def hurry(self, places: set[tuple[int, int]]) -> None:
        """Those of partition and offset that are due at a later time are ready now."""
        hurried = [entry for entry in self._due if (entry[2].partition, entry[2].offset) in places]
        self._due = [entry for entry in self._due if entry not in hurried]
        heapq.heapify(self._due)
        self._due_again.extend(job for _, _, job in sorted(hurried, key=lambda entry: entry[:2]))
        self._set_alarm()

    def withdraw(self, partition: int, offset: int) -> Job | None:
        """Take one that is due at a later time out of the line: it is in flight."""
        for entry in self._due:
            if (entry[2].partition, entry[2].offset) == (partition, offset):
                self._due.remove(entry)
                heapq.heapify(self._due)
                return entry[2]
        return None

    def following(self, job: Job) -> Iterable[Job]:
        """Those that may soon go after a job in flight: of its chain, then all that are ready."""
        chain = () if job.key is None else self._chains[job.key]
        return itertools.chain(chain, self._due_again, self._ready)

    def behind_parked(self) -> list[Job]:
        """Those not parked that wait for one of their key that is parked and not yet due, and may wait long.

        Not those behind one that is ready or in flight: parked, each would have those behind it parked in its turn.
        """
        heads = [job for _, _, job in self._due if job.parked and job.key is not None]
        return [job for head in heads for job in self._chains.get(head.key or b"", ()) if not job.parked]

    def waiting(self) -> dict[Job, int]:
        """All that are ready, due or of a key, with when they are due: 0 for those that wait only for their turn."""
        chained = (job for chain in self._chains.values() for job in chain)
        turn = dict.fromkeys(itertools.chain(self._due_again, self._ready, chained), 0)
        return {**turn, **{job: due_ms for due_ms, _, job in self._due}}

    def close(self) -> None:
        """Nothing becomes due any more."""
        self._on_due = None
        self._set_alarm()


def now_ms() -> int:
    """The time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
