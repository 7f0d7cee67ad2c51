"""The newest records of one partition, in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import accumulate
from operator import attrgetter

from headrace.consumers.core.record import Record

_OFFSET = attrgetter("offset")
_SIZE = attrgetter("size_bytes")

ARRIVAL_S = 1.0
"""How finely arrivals are noted: a ring that is fed all the time keeps one note for each of these spans."""


class Ring:
    """Every committed record of `[start, end)`, bounded in memory and in age.

    Records come in order of offset; there may be holes (transaction markers, compaction). What was evicted is still
    in Kafka.
    """

    def __init__(self, start: int, max_bytes: int) -> None:
        self.start = start
        self.end = start
        self.memory_bytes = 0
        self._max_bytes = max_bytes
        self._records: list[Record] = []
        self._head = 0
        # Not before when the records below an offset arrived, for eviction by age.
        self._arrivals: deque[tuple[float, int]] = deque()

    def append(self, record: Record) -> None:
        """Add the next record; one that is here already (after a reconnect) is left out."""
        if record.offset < self.end:
            return
        self._records.append(record)
        self.memory_bytes += record.memory_bytes
        self.end = record.offset + 1

    def reach(self, end: int) -> None:
        """There is nothing to be read below `end` that is not here."""
        self.end = max(self.end, end)

    def settle(self, now_s: float) -> None:
        """After a batch: note its arrival, and evict what is beyond the bound in memory."""
        if self._arrivals and now_s - self._arrivals[-1][0] < ARRIVAL_S:
            self._arrivals[-1] = (self._arrivals[-1][0], self.end)
        elif not self._arrivals or self._arrivals[-1][1] < self.end:
            self._arrivals.append((now_s, self.end))
        while self.memory_bytes > self._max_bytes and self._head < len(self._records):
            self._evict()
        self._trim()

    def expire(self, arrived_before_s: float) -> None:
        """Evict what arrived before a time."""
        while self._arrivals and self._arrivals[0][0] < arrived_before_s:
            below = self._arrivals.popleft()[1]
            while self._head < len(self._records) and self._records[self._head].offset < below:
                self._evict()
        self._trim()

    def restart(self, at: int) -> None:
        """Forget all; go on from `at`."""
        self._records.clear()
        self._arrivals.clear()
        self._head = self.memory_bytes = 0
        self.start = self.end = at

    def read(self, offset: int, limit: int, max_bytes: int) -> tuple[list[Record], int]:
        """Records from an offset on that is not below `start`, and the offset after them.

        At most `limit`, and no more once they have `max_bytes`.
        """
        if offset >= self.end or limit == 0:
            return [], offset
        index = bisect_left(self._records, offset, lo=self._head, key=_OFFSET)
        found = self._records[index : index + limit]
        if self.memory_bytes > max_bytes:
            del found[bisect_left(list(accumulate(map(_SIZE, found))), max_bytes) + 1 :]
        if index + len(found) == len(self._records):
            return found, self.end
        return found, found[-1].offset + 1

    def _evict(self) -> None:
        record = self._records[self._head]
        self._head += 1
        self.memory_bytes -= record.memory_bytes
        self.start = record.offset + 1

    def _trim(self) -> None:
        # Deleting from the front of a list moves the rest: once for many. What is not deleted yet still takes memory.
        if self._head * 8 > len(self._records):
            del self._records[: self._head]
            self._head = 0
