"""How many requests a second an endpoint may get."""

from __future__ import annotations

import math
import re

BURST_S = 0.1
"""What may be sent at once after a quiet time, beside one request, as seconds of the rate. It is what makes up for
being late: timers and ticks of a busy event loop are, by some 10 ms. More would be a spike after each quiet time."""

CLOCK_S = 1e-6
"""Nearer than this is now: the steps of seconds since 1970, as floats, are 0.2 µs wide."""


class RateLimit:
    """A token bucket: `rate_per_s` tokens a second, at most `burst` of them kept.

    Nothing is added up from call to call: the time of a token is counted from when the bucket was last full, so that it
    neither drifts over days nor depends on how often it is asked. Raises ValueError for a rate that is not above 0.
    """

    __slots__ = ("_full_s", "_taken", "burst", "rate_per_s")

    def __init__(self, rate_per_s: float) -> None:
        if not (math.isfinite(rate_per_s) and rate_per_s > 0):
            raise ValueError(f"a rate limit must be above 0 per second, not {rate_per_s}")
        self.rate_per_s = rate_per_s
        self.burst = 1 + rate_per_s * BURST_S
        self._full_s = -math.inf
        self._taken = 0

    def take(self, now_s: float) -> float:
        """Take a token and give 0, or take none and give the seconds until there is one.

        `now_s` is of a clock that is not set back, as the event loop's.
        """
        if (now_s - self._full_s) * self.rate_per_s >= self._taken:
            self._full_s = now_s
            self._taken = 0
        wait_s = self._full_s + (self._taken + 1 - self.burst) / self.rate_per_s - now_s
        if wait_s > CLOCK_S:
            return wait_s
        self._taken += 1
        return 0.0


def rate_limit(rate_limit_per_s: float | None, granted_per_min: int | None) -> RateLimit | None:
    """The lower of what was configured and what the receiver granted; None where neither is a limit."""
    rates_per_s = [] if rate_limit_per_s is None else [rate_limit_per_s]
    if granted_per_min is not None:
        # With its burst a minute holds no more than was granted.
        rates_per_s.append(granted_per_min / (60 + BURST_S))
    return RateLimit(min(rates_per_s)) if rates_per_s else None


def granted_per_min(allowed_rate: str) -> int | None:
    """Requests per minute by a `WebHook-Allowed-Rate` (CloudEvents Web Hooks 1.0.2, 4.2.2); None for `*`: no limit.

    Raises ValueError for what is neither.
    """
    allowed_rate = allowed_rate.strip()
    if allowed_rate == "*":
        return None
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", allowed_rate):
        raise ValueError(f"WebHook-Allowed-Rate must be requests per minute, a number above 0, or *: {allowed_rate!r}")
    return int(allowed_rate)
