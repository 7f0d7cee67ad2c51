"""What came of a subscription's attempts, in numbers."""

from __future__ import annotations

import time
from bisect import bisect_left
from functools import cache

from prometheus_client import Histogram

from headrace import metrics


class Tally:
    """Observations for a histogram, brought to it by `publish`: a bisection each instead of a lock for each bucket."""

    __slots__ = ("_bounds", "_counts", "_histogram", "_sum")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._bounds = histogram._upper_bounds
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def publish(self) -> None:
        """Add what was counted since the last time."""
        if not self._sum:
            return
        for bucket, count in zip(self._histogram._buckets, self._counts, strict=True):
            if count:
                bucket.inc(count)
        self._histogram._sum.inc(self._sum)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0


# Shared by all that are counted there: thousands of subscriptions need not have thousands of them.
_DELIVERED = Tally(metrics.attempt_seconds.labels("delivered"))
_FAILED = Tally(metrics.attempt_seconds.labels("failed"))


@cache
def _latency(feed: str, mode: str) -> Tally:
    return Tally(metrics.latency_seconds.labels(feed, mode))


class Counters:
    """Counts since a runner began. They reach the metrics by `publish`, as counting there costs as much as signing."""

    __slots__ = (
        "_attempts",
        "_bytes_out",
        "_delivered_bytes",
        "_events_out",
        "_latency",
        "_published",
        "delivered",
        "failed",
    )

    def __init__(self, feed: str, mode: str = "webhook") -> None:
        self.delivered = 0
        self.failed = 0
        self._delivered_bytes = 0
        self._published = (0, 0, 0)
        self._events_out = metrics.events_out.labels(feed, mode)
        self._bytes_out = metrics.bytes_out.labels(feed, mode)
        self._latency = _latency(feed, mode)
        # Whoever pulls makes no attempts.
        self._attempts = None if mode == "pull" else [metrics.attempts.labels(feed, o) for o in ("delivered", "failed")]

    def count_attempt(self, seconds: float, *, delivered: bool) -> None:
        """An attempt has ended after so long."""
        (_DELIVERED if delivered else _FAILED).observe(seconds)

    def count_delivered(self, size_bytes: int, timestamp_ms: int) -> None:
        """An event was delivered. `timestamp_ms` is its record's, since 1970; below 0 it has none."""
        self.delivered += 1
        self._delivered_bytes += size_bytes
        if timestamp_ms >= 0:
            self._latency.observe(max(time.time() - timestamp_ms / 1000, 0.0))

    def count_failed(self) -> None:
        """An attempt failed."""
        self.failed += 1

    def publish(self) -> None:
        """Bring the metrics up to date."""
        now = (self.delivered, self._delivered_bytes, self.failed)
        delivered, delivered_bytes, failed = (a - b for a, b in zip(now, self._published, strict=True))
        self._published = now
        self._events_out.inc(delivered)
        self._bytes_out.inc(delivered_bytes)
        if self._attempts is not None:
            for counter, count in zip(self._attempts, (delivered, failed), strict=True):
                counter.inc(count)
        for tally in (self._latency, _DELIVERED, _FAILED):
            tally.publish()
