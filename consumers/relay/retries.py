"""When a failed event is tried again."""

from __future__ import annotations

import random

JITTER = 0.2


def backoff_s(attempt: int, first_s: float, most_s: float) -> float:
    """Seconds from the failure of attempt number `attempt` (from 1) to the next: doubling, bounded, ±20 %."""
    wait_s = min(first_s * 2.0 ** min(attempt - 1, 60), most_s)
    return wait_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
