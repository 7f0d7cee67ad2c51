"""One who follows a feed live, as an operator is told of it, whatever the mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headrace.consumers.core.position import Position
from headrace.consumers.follower import Follower
from headrace.consumers.selected_log import SelectedLog

State = Literal["front", "catching-up", "full", "no-credit"]


@dataclass(frozen=True, slots=True)
class Following:
    """A reader of one feed at one moment.

    `state`: it has all there is, is being sent what it lacks, has a socket that is full, or no credit for what it
    lacks. Of a connection with several subscriptions each is one, with its id. `since_s` is seconds since 1970.
    """

    mode: str
    log: SelectedLog
    connection: Follower
    state: State
    position: Position
    since_s: float
    subscription: str | None = None

    @property
    def feed(self) -> str:
        """The feed's name."""
        return self.log.entry.feed.name

    @property
    def is_slow(self) -> bool:
        """Whether it takes less than it could be sent."""
        return self.state in ("full", "no-credit")
