"""When a failed event is tried again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

JITTER = 0.2

SHORT_WAITS = 3
"""Of the shorter schedule: an answer that another attempt seldom changes (4xx) is tried for 35 minutes: long enough for
a deployment to be put right, short enough that its dead letter comes while somebody still knows about the event."""

MAX_WAITS = 50
MAX_WAIT_S = 7 * 86_400.0


def jittered(wait_s: float, random: Callable[[], float]) -> float:
    """A wait, ±20 %, so that what failed together does not come back together. `random` gives numbers in [0, 1)."""
    return wait_s * (1 - JITTER + 2 * JITTER * random())


@dataclass(frozen=True, slots=True)
class Schedule:
    """Seconds from the end of each failed attempt to the next: one attempt more than there are waits.

    Raises ValueError for more than 50 waits, or one that is not above 0 and at most 7 days.
    """

    waits_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.waits_s) > MAX_WAITS:
            raise ValueError(f"a retry schedule has at most {MAX_WAITS} waits, not {len(self.waits_s)}")
        for wait_s in self.waits_s:
            if not (math.isfinite(wait_s) and 0 < wait_s <= MAX_WAIT_S):
                raise ValueError(f"a wait of a retry schedule must be above 0 and at most {MAX_WAIT_S:.0f} s: {wait_s}")

    @property
    def attempts(self) -> int:
        """Attempts in all, the first one included."""
        return len(self.waits_s) + 1

    @property
    def short(self) -> Schedule:
        """The beginning of it: for answers that another attempt seldom changes."""
        return Schedule(self.waits_s[:SHORT_WAITS])

    def wait_s(self, attempt: int, random: Callable[[], float]) -> float | None:
        """Seconds from the failure of attempt number `attempt` (from 1) to the next, ±20 %; None: it was the last."""
        return jittered(self.waits_s[attempt - 1], random) if attempt < self.attempts else None


FULL = Schedule((5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
"""The example of Standard Webhooks 1.0 ("Deliverability and reliability"): 10 attempts over three days."""
