"""Pace: when a row is due, from its own time and the speed."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Rows `speed` times as fast as their own times say; None is as fast as they can be written.

    The first row is due at once and sets the beginning; what falls behind catches up. A row whose time lies before
    that of an earlier one is due at once: rows keep their order. `clock` gives seconds.
    """

    def __init__(self, speed: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.speed = speed
        self._clock = clock
        self._began: tuple[float, int] | None = None

    def wait_s(self, time_ms: int | None) -> float:
        """Seconds until a row of this time is due; 0 where it is."""
        if self.speed is None or time_ms is None:
            return 0.0
        if self._began is None:
            self._began = (self._clock(), time_ms)
        began_s, began_ms = self._began
        due_s = began_s + (time_ms - began_ms) / 1000 / self.speed
        return max(0.0, due_s - self._clock())


def parse_speed(text: str) -> float | None:
    """`max` is None; raises ValueError for anything but it and a positive number."""
    if text.lower() == "max":
        return None
    speed = float(text)
    if not 0 < speed < float("inf"):
        raise ValueError(text)
    return speed
