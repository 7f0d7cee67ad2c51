"""A lane: the part of a subscription in one partition."""

from __future__ import annotations

from headrace.consumers.relay.state import LaneState, Run


class Lane:
    """Which events of a partition were read, and which of those are not settled yet.

    An event is settled when it was delivered, or when its parked reference is acknowledged. Invariant: every event
    below `position` is settled.
    """

    __slots__ = ("_asked", "_changes", "_skip", "_told", "_unsettled", "fetched")

    def __init__(self, state: LaneState) -> None:
        self.fetched = state.position
        # Changes so far; those that were there when its state was asked for, and when that was written.
        self._changes = self._asked = self._told = 0
        self._unsettled: dict[int, None] = {}
        # Settled under an owner before: read again with what lies between, and left out.
        self._skip: list[Run] = list(state.done)

    @property
    def position(self) -> int:
        """The first offset that is not settled. Events are read in order, so it is the oldest of the unsettled."""
        return next(iter(self._unsettled), self.fetched)

    @property
    def unsettled(self) -> int:
        """How many events were read and are not settled."""
        return len(self._unsettled)

    def offsets(self) -> list[int]:
        """The offsets of those."""
        return list(self._unsettled)

    def take(self, offset: int) -> bool:
        """An event was read; False where it was settled before."""
        while self._skip and self._skip[0][1] <= offset:
            self._skip.pop(0)
        if self._skip and self._skip[0][0] <= offset:
            return False
        self._unsettled[offset] = None
        self._changes += 1
        return True

    def pass_to(self, offset: int) -> None:
        """All below an offset was read."""
        if offset != self.fetched:
            self.fetched = offset
            self._changes += 1

    def touch(self) -> None:
        """Its state is to be written, whether or not it has changed."""
        self._changes += 1

    def settle(self, offset: int) -> None:
        """An event was delivered or parked."""
        self._unsettled.pop(offset, None)
        self._changes += 1

    def settled(self, offset: int) -> bool:
        """Whether an event was settled, here or under an owner before."""
        if offset < self.fetched:
            return offset not in self._unsettled
        return any(first <= offset < end for first, end in self._skip)

    def moved(self) -> LaneState | None:
        """The state, to be written, where something was read or settled since it was last written.

        Not where only what others want has gone by at the tail: of thousands of lanes that would be most of what is
        written.
        """
        if self._changes == self._told:
            return None
        self._asked = self._changes
        return self.state()

    def written(self) -> None:
        """The state that was asked for last is acknowledged."""
        self._told = self._asked

    def state(self) -> LaneState:
        """What a next owner must know."""
        position = self.position
        done: list[Run] = []
        at = position
        for offset in self._unsettled:
            if offset > at:
                done.append((at, offset))
            at = offset + 1
        if self._unsettled and at < self.fetched:
            done.append((at, self.fetched))
        # What was settled before and is not yet read again.
        done += [(max(a, self.fetched), b) for a, b in self._skip if b > max(self.fetched, position)]
        return LaneState(position, tuple(done))
