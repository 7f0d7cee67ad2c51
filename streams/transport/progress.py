"""How far each partition has been processed, counted in batches."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from faust.types import TP, Message


class Progress:
    """Batches in the order in which they were read, and which of them are finished.

    Offsets inside a batch never matter, so gaps in the log (compaction, transactions) do not either. A batch is known
    by its message object: the finish of one that was forgotten meanwhile, in a rebalance, moves nothing.
    """

    def __init__(self) -> None:
        self._reading: defaultdict[TP, deque[Message]] = defaultdict(deque)
        self._finished: set[int] = set()
        self._next_offsets: dict[TP, int] = {}

    @property
    def partitions(self) -> list[TP]:
        """The partitions of which something was read."""
        return list(self._reading)

    def begin(self, message: Message) -> None:
        """A batch was read; its message's offset is that of its last record."""
        self._reading[message.tp].append(message)

    def finish(self, message: Message) -> None:
        """A batch was processed, and all its output acknowledged."""
        reading = self._reading[message.tp]
        if all(message is not other for other in reading):
            return
        self._finished.add(id(message))
        while reading and id(reading[0]) in self._finished:
            first = reading.popleft()
            self._finished.discard(id(first))
            self._next_offsets[message.tp] = first.offset + 1

    def next_offset(self, tp: TP) -> int | None:
        """The offset to commit, after the last batch of the finished prefix; None where nothing was finished."""
        return self._next_offsets.get(tp)

    def forget(self, tps: Iterable[TP]) -> None:
        """These partitions are read anew, from what was committed, or are no longer ours."""
        for tp in tps:
            for message in self._reading.pop(tp, ()):
                self._finished.discard(id(message))
            self._next_offsets.pop(tp, None)
