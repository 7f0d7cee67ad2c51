"""Quotas: how much one principal, or one address, may ask of one process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from headrace.access.bucket import Bucket

PRUNE_AT = 1000
"""From so many meters on, those that would admit anything are forgotten."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """Limits; None is no limit. `connections` counts requests under way and open streams."""

    requests_per_s: float | None = None
    events_per_s: float | None = None
    bytes_per_s: float | None = None
    connections: int | None = None

    def __bool__(self) -> bool:
        return any(limit is not None for limit in (self.requests_per_s, self.events_per_s, self.bytes_per_s)) or (
            self.connections is not None
        )

    def public(self) -> dict[str, Any]:
        """The limits that are set."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}

    def over(self, defaults: Quotas) -> Quotas:
        """These limits, and the defaults where these say nothing."""
        return Quotas(**{**defaults.public(), **self.public()})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A quota that is used up: its name, and when to come again, in seconds."""

    quota: str
    wait_s: float


class Meter:
    """What one principal, or one address, has used.

    A request is admitted where one is left and nothing is owed: what an answer holds is known, and charged, after it.
    """

    def __init__(self, quotas: Quotas, prefix: str, clock: Callable[[], float]) -> None:
        self.quotas = quotas
        self._prefix = prefix
        self._clock = clock
        rates = {"requests": quotas.requests_per_s, "events": quotas.events_per_s, "bytes": quotas.bytes_per_s}
        self._buckets = {name: Bucket(rate, clock()) for name, rate in rates.items() if rate is not None}
        self.connections = 0

    def refusal(self) -> Refusal | None:
        """Why a request is not admitted now, or None."""
        now = self._clock()
        if self.quotas.connections is not None and self.connections >= self.quotas.connections:
            return Refusal(f"{self._prefix}connections", 1.0)
        for name, bucket in self._buckets.items():
            if (wait_s := bucket.wait_s(now, 1.0 if name == "requests" else 0.0)) > 0:
                return Refusal(f"{self._prefix}{name}", wait_s)
        return None

    def charge(self, *, requests: int = 0, events: int = 0, bytes_: int = 0) -> float:
        """Take what was used; the seconds until nothing of events and bytes is owed any more."""
        now = self._clock()
        wait_s = 0.0
        for name, amount in (("requests", requests), ("events", events), ("bytes", bytes_)):
            if (bucket := self._buckets.get(name)) is not None:
                bucket.take(amount, now)
                if name != "requests":
                    wait_s = max(wait_s, bucket.wait_s(now, 0.0))
        return wait_s

    @property
    def idle(self) -> bool:
        """Whether a new meter would be the same."""
        now = self._clock()
        return self.connections == 0 and all(bucket.full(now) for bucket in self._buckets.values())

    def policies(self) -> Iterator[str]:
        """Items of the header RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10, section 3)."""
        units = {"requests": "", "events": ';qu="events"', "bytes": ';qu="content-bytes"'}
        for name, bucket in self._buckets.items():
            yield f'"{self._prefix}{name}";q={int(bucket.capacity)}{units[name]};w={math.ceil(bucket.window_s)}'
        if self.quotas.connections is not None:
            yield f'"{self._prefix}connections";q={self.quotas.connections};qu="concurrent-requests"'

    def standings(self) -> Iterator[str]:
        """Items of the header RateLimit (section 4): what is left, and in how many seconds all is there again."""
        now = self._clock()
        for name, bucket in self._buckets.items():
            left = max(0, int(bucket.left(now)))
            yield f'"{self._prefix}{name}";r={left};t={math.ceil(bucket.wait_s(now, bucket.capacity))}'
        if self.quotas.connections is not None:
            yield f'"{self._prefix}connections";r={max(0, self.quotas.connections - self.connections)}'


class Meters:
    """The meters of many, by their name. Those without quotas have none."""

    def __init__(self, prefix: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._prefix = prefix
        self._clock = clock
        self._meters: dict[str, Meter] = {}

    def of(self, name: str, quotas: Quotas) -> Meter | None:
        """The meter of one; a new one where its quotas have changed."""
        if not quotas:
            return None
        meter = self._meters.get(name)
        if meter is None or meter.quotas != quotas:
            meter = self._meters[name] = Meter(quotas, self._prefix, self._clock)
        return meter

    def prune(self) -> None:
        """Forget those who have not asked for a while: addresses would add up."""
        if len(self._meters) >= PRUNE_AT:
            self._meters = {name: meter for name, meter in self._meters.items() if not meter.idle}

    def __len__(self) -> int:
        return len(self._meters)
