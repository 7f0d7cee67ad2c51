"""A pull subscription that nobody asks: what it takes to go on from where it stands, and no more."""

from __future__ import annotations

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position, widen
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.state import Parked, Stored


class Resting:
    """Stands on its owner until somebody asks for it. Nothing of it is parked or leased, so nothing becomes due.

    There may be very many of them: one takes a fraction of what a `Puller` does. `found` is None where nothing was kept
    yet; `counted` is what was delivered and what failed before.
    """

    __slots__ = ("_found", "_writer", "counted", "feed_log", "hours_until_loss", "position", "subscription")

    def __init__(
        self,
        subscription: Subscription,
        found: Stored,
        position: Position,
        feed_log: FeedLog,
        counted: tuple[int, int] = (0, 0),
    ) -> None:
        self.subscription = subscription
        self.position = position
        self.feed_log = feed_log
        self.counted = counted
        self.hours_until_loss: float | None = None
        self._writer = found.writer
        self._found = None if found == Stored(writer=found.writer) else found

    @property
    def lag(self) -> int:
        """Offsets of the feed that are not settled."""
        rings = self.feed_log.rings
        return sum(max(r.end - at, 0) for r, at in zip(rings, widen(self.position, len(rings)), strict=True))

    @property
    def parked(self) -> int:
        """Nothing."""
        return 0

    @property
    def in_flight(self) -> int:
        """Nothing."""
        return 0

    @property
    def breaker_number(self) -> None:
        """It has none."""

    def touch(self) -> None:
        """It has not moved."""

    def waiting(self) -> list[Parked]:
        """Nothing."""
        return []

    async def give_up(self, partition: int, offset: int, reason: str) -> None:
        """There is nothing to give up."""

    async def stop(self) -> None:
        """All was written when it came to rest."""

    def stored(self) -> Stored:
        """What it goes on from."""
        return self._found or Stored(writer=self._writer)
