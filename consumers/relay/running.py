"""What the owner has of each subscription: at work, whether its events are pushed or pulled, or at rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.intake import Intake
from headrace.consumers.relay.state import Parked, Saved, Stored
from headrace.consumers.subscription_answers import Status


class Standing(Protocol):
    """A subscription on its owner, as those see it who only look."""

    subscription: Subscription
    feed_log: FeedLog
    hours_until_loss: float | None

    @property
    def position(self) -> Position:
        """Per partition, the first offset that is not settled."""
        ...

    @property
    def lag(self) -> int:
        """Events of the feed that are not settled, counted in offsets."""
        ...

    @property
    def parked(self) -> int:
        """Events that wait for their time."""
        ...

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        ...

    @property
    def breaker_number(self) -> int | None:
        """Whether its endpoint may be sent to, as the metric tells it; None where it has none."""
        ...

    def touch(self) -> None:
        """Write where it stands."""
        ...

    def waiting(self) -> list[Parked]:
        """The parked events, with when they are due."""
        ...

    async def give_up(self, partition: int, offset: int, reason: str) -> None:
        """Make a dead letter of a parked event that waits for its time."""
        ...

    async def stop(self) -> None:
        """Stop, and write the position."""
        ...

    def stored(self) -> Stored:
        """What goes on from it; to be asked after `stop`."""
        ...


class Running(Standing, Protocol):
    """A subscription at work. `snapshots` are its named positions, changed as they are written."""

    epoch: int
    intake: Intake
    snapshots: dict[str, Saved]

    def status(self) -> Status:
        """How it stands now."""
        ...

    async def redeliver(self, wanted: Sequence[Parked]) -> int:
        """Deliver events once more. Returns how many it is; raises `TooMany`, `KafkaUnavailable`."""
        ...
