"""Repeats by event id: a producer's retry makes a second record of the same event, and only the first goes on."""

from __future__ import annotations

from collections import deque


class Seen:
    """The ids of the latest `horizon` events of one partition, each with the offset where it came first.

    A record that is read again, after a rebalance or a restart, is not a repeat of itself: it may never have been
    written. So only an id that is known from an earlier offset is a repeat.
    """

    def __init__(self, horizon: int) -> None:
        self._horizon = horizon
        self._first_offsets: dict[bytes, int] = {}
        self._oldest_first: deque[bytes] = deque()
        self._next_offset = 0

    def __len__(self) -> int:
        return len(self._first_offsets)

    def missing_before(self, offset: int) -> range:
        """The offsets whose ids must be added before a batch that begins at `offset` can be judged.

        Empty where the batch goes on from the last one, or is read again. Everything below, as far as the horizon,
        where the partition has just come to this process.
        """
        return range(max(self._next_offset, offset - self._horizon), offset)

    def add(self, event_id: bytes, offset: int) -> bool:
        """Remember an event; False where it is a repeat."""
        first = self._first_offsets.get(event_id)
        if first is not None:
            return offset <= first
        self._first_offsets[event_id] = offset
        self._oldest_first.append(event_id)
        if len(self._oldest_first) > self._horizon:
            del self._first_offsets[self._oldest_first.popleft()]
        return True

    def passed(self, offset: int) -> None:
        """Every record up to and including this offset has been told, or needs not be."""
        self._next_offset = max(self._next_offset, offset + 1)
