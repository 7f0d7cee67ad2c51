"""A token bucket with debt."""

from __future__ import annotations


class Bucket:
    """Fills at `rate` a second up to what a second brings, one at least. Taking more than there is leaves a debt."""

    __slots__ = ("_at_s", "_level", "capacity", "rate")

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate = rate
        self.capacity = max(rate, 1.0)
        self._level = self.capacity
        self._at_s = now_s

    @property
    def window_s(self) -> float:
        """How long an empty one takes to fill."""
        return self.capacity / self.rate

    def left(self, now_s: float) -> float:
        """What it holds; negative where something is owed."""
        self._level = min(self.capacity, self._level + (now_s - self._at_s) * self.rate)
        self._at_s = now_s
        return self._level

    def take(self, amount: float, now_s: float) -> None:
        """Take an amount, whether it is there or not."""
        self._level = self.left(now_s) - amount

    def wait_s(self, now_s: float, amount: float) -> float:
        """The seconds until it holds an amount."""
        return max(0.0, (amount - self.left(now_s)) / self.rate)

    def full(self, now_s: float) -> bool:
        """Whether nothing is missing."""
        return self.left(now_s) >= self.capacity
