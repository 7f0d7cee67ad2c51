"""The fan-outs of one mode: there for those that want the same, made for the first of them and gone with the last."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Generic, TypeVar

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.fan_out import FanOut, Frames
from headrace.consumers.follower import Ending
from headrace.consumers.following import Following
from headrace.consumers.selected_log import SelectedLog
from headrace.consumers.selection import Selection
from headrace.settings import ServeSettings

Coding = TypeVar("Coding")


class FanOuts(Generic[Coding]):
    """One for each feed, selection and coding. `frames` makes the frames of a feed in a coding."""

    def __init__(self, mode: str, settings: ServeSettings, frames: Callable[[FeedLog, Coding], Frames]) -> None:
        self._mode = mode
        self._settings = settings
        self._frames = frames
        self._known: dict[tuple[FeedLog, Selection, Coding], FanOut] = {}

    def following(self) -> Iterator[Following]:
        """All followers, as an operator is told of them."""
        return chain.from_iterable(fan_out.following() for fan_out in list(self._known.values()))

    def of(self, feed_log: FeedLog, selection: Selection, coding: Coding) -> FanOut:
        """The one of those that want this."""
        kind = (feed_log, selection, coding)
        found = self._known.get(kind)
        if found is None:
            settings = self._settings
            found = self._known[kind] = FanOut(
                SelectedLog(feed_log, selection),
                self._frames(feed_log, coding),
                self._mode,
                settings.flush_s,
                settings.heartbeat_s,
                settings.slow_s,
                lambda: self._end(kind),
            )
        return found

    def _end(self, kind: tuple[FeedLog, Selection, Coding]) -> None:
        if (idle := self._known.pop(kind, None)) is not None:
            idle.end(Ending.RESUME)

    def end(self, why: Ending) -> None:
        """Close all followers; their clients resume elsewhere."""
        for fan_out in list(self._known.values()):
            fan_out.end(why)


def planned_end_s(live_s: float) -> float:
    """When a connection that begins now is closed, by the monotonic clock: spread, so that not all end at once."""
    return time.monotonic() + live_s * random.uniform(0.8, 1.2)  # noqa: S311
