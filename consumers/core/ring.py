"""The newest records of one partition, in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from operator import attrgetter

from headrace.consumers.core.record import Record

_OFFSET = attrgetter("offset")


class Ring:
    """Every committed record of `[start, end)`, bounded in bytes and in age.

    Records come in order of offset; there may be holes (transaction markers, compaction). What was evicted is still
    in Kafka.
    """

    def __init__(self, start: int, max_bytes: int) -> None:
        self.start = start
        self.end = start
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._records: list[Record] = []
        self._head = 0
        # When the records below an offset had arrived, for eviction by age.
        self._arrivals: deque[tuple[float, int]] = deque()

    def append(self, record: Record) -> None:
        """Add the next record; one that is here already (after a reconnect) is left out."""
        if record.offset < self.end:
            return
        self._records.append(record)
        self.size_bytes += record.size_bytes
        self.end = record.offset + 1

    def reach(self, end: int) -> None:
        """There is nothing to be read below `end` that is not here."""
        self.end = max(self.end, end)

    def settle(self, now_s: float) -> None:
        """After a batch: note its arrival, and evict what is beyond the bound in bytes."""
        self._arrivals.append((now_s, self.end))
        while self.size_bytes > self._max_bytes and self._head < len(self._records):
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
        self._head = self.size_bytes = 0
        self.start = self.end = at

    def slice(self, offset: int, limit: int) -> list[Record]:
        """At most `limit` records from an offset on that is not below `start`."""
        if offset >= self.end:
            return []
        index = bisect_left(self._records, offset, lo=self._head, key=_OFFSET)
        return self._records[index : index + limit]

    def _evict(self) -> None:
        record = self._records[self._head]
        self._head += 1
        self.size_bytes -= record.size_bytes
        self.start = record.offset + 1

    def _trim(self) -> None:
        # Deleting from the front of a list moves the rest: once for many.
        if self._head > 1000 and self._head * 2 > len(self._records):
            del self._records[: self._head]
            self._head = 0
