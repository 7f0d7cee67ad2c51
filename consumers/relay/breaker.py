"""Whether an endpoint may be sent to: the breaker that a failing endpoint opens, its pauses, and its end."""

from __future__ import annotations

import math
import random as _random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from headrace.consumers.relay.outcome import Verdict
from headrace.consumers.relay.retries import jittered

State = Literal["closed", "open", "half_open"]
Change = Literal["opened", "reopened", "closed", "paused"]

BUCKETS = 6

SPREAD = 0.1
LEAST_SPREAD_S = 1.0
"""A pause is longer by up to a tenth, and up to a second at least: those that were told the same time, or share a limit
behind different URLs, do not come back together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a breaker opens, for how long, and when its endpoint is given up.

    It opens on `consecutive_failures`, or when of at least `rate_attempts` within about `window_s` the share
    `failure_rate` failed. Ten in a row are more than the first window of requests, and are not one bad event: that is
    tried ten times in three days, with other events between them on an endpoint that works. Raises ValueError.
    """

    consecutive_failures: int = 10
    failure_rate: float = 0.5
    rate_attempts: int = 20
    window_s: float = 60.0
    first_open_s: float = 5.0
    max_open_s: float = 600.0
    disable_after_s: float = 5 * 86_400.0

    def __post_init__(self) -> None:
        if self.consecutive_failures < 1 or self.rate_attempts < 1:
            raise ValueError("a breaker's consecutive_failures and rate_attempts must be at least 1")
        if not 0 < self.failure_rate <= 1:
            raise ValueError(f"a breaker's failure_rate must be above 0 and at most 1, not {self.failure_rate}")
        if not 0 < self.first_open_s <= self.max_open_s < math.inf:
            raise ValueError("a breaker's first_open_s must be above 0 and at most max_open_s")
        if not (self.window_s > 0 and self.disable_after_s > 0):
            raise ValueError("a breaker's window_s and disable_after_s must be above 0")


DEFAULTS = Limits()


class Breaker:
    """The breaker of one endpoint: closed, open, or half-open while one probe is under way.

    Open, it lets a probe start after 5 s, then after twice as long each time, to 10 min, ±20 %. A probe that succeeds
    closes it, one that fails opens it for longer. An answer that refuses a single event shows that the endpoint works:
    it closes it too, but the next opening goes on where this one was. Times are seconds since 1970, given by the
    caller, so that a next owner goes on from `to_record`.

    Whoever sends asks `may_start`, calls `started` and later gives the number it got to `ended`: what was sent before
    the last change says nothing of what is now, so that of 64 requests which fail together none counts after it.
    Invariants: open, no request under way counts; half-open, exactly one does, the probe, and none may start until it
    has ended or was abandoned.
    """

    __slots__ = (
        "_attempts",
        "_bucket_ends_s",
        "_buckets",
        "_failed_at_s",
        "_failures",
        "_gate_s",
        "_generation",
        "_limits",
        "_random",
        "_run",
        "_trips",
        "failing_since_s",
        "paused_until_s",
        "probe_at_s",
        "state",
    )

    def __init__(self, limits: Limits = DEFAULTS, random: Callable[[], float] = _random.random) -> None:
        self.state: State = "closed"
        self.failing_since_s: float | None = None
        self.paused_until_s = 0.0
        self.probe_at_s = 0.0
        self._limits = limits
        self._random = random
        self._failed_at_s = 0.0
        self._gate_s = 0.0
        self._generation = 0
        self._trips = 0
        self._run = 0
        self._attempts = 0
        self._failures = 0
        self._bucket_ends_s = 0.0
        self._buckets: deque[tuple[int, int]] = deque(maxlen=BUCKETS - 1)

    # Before a request

    def may_start(self, now_s: float) -> bool:
        """Whether a request may be sent now."""
        return now_s >= self._gate_s

    def next_change(self, now_s: float) -> float | None:
        """When to ask `may_start` again; None where it may now, or where the end of the probe decides."""
        return self._gate_s if now_s < self._gate_s < math.inf else None

    def started(self) -> int:
        """A request is sent; gives the number that `ended` or `abandoned` wants. Only where `may_start` allows it."""
        if self.state == "open":
            self._turn("half_open")
        return self._generation

    # After it

    def ended(self, generation: int, verdict: Verdict, now_s: float) -> Change | None:
        """A request has ended. Gives what changed, if it did: then `next_change` is another."""
        if verdict.health != "well":
            return self._not_well(generation, verdict, now_s)
        self.failing_since_s = None
        if generation != self._generation:
            return None
        if self.state == "half_open":
            self._trips = 0
            return self._close()
        self._run = 0
        if now_s >= self._bucket_ends_s:
            self._roll(now_s)
        self._attempts += 1
        return None

    def abandoned(self, generation: int) -> None:
        """A request was not sent after all, or cut off by us: it says nothing, and a probe may start anew."""
        if self.state == "half_open" and generation == self._generation:
            self._turn("open")

    def trip(self, now_s: float) -> Change | None:
        """Open it for a reason of the caller's: more events are parked than a working endpoint would leave."""
        return self._open(now_s) if self.state == "closed" else None

    @property
    def should_disable(self) -> bool:
        """Whether it failed for `disable_after_s` without one success. Silence proves nothing: only failures count."""
        since_s = self.failing_since_s
        return since_s is not None and self._failed_at_s - since_s >= self._limits.disable_after_s

    # For the next owner

    def to_record(self, now_s: float) -> dict[str, float]:
        """What a next owner must know, as JSON's own types; empty where there is nothing to tell.

        To be compared with what was last written: a success may take something away and be no `Change`.
        """
        record: dict[str, float] = {}
        if self.state != "closed":
            record["probe_at"] = self.probe_at_s
        if self._trips:
            record["trips"] = self._trips
        if self.paused_until_s > now_s:
            record["paused_until"] = self.paused_until_s
        if self.failing_since_s is not None:
            record["failing_since"] = self.failing_since_s
            record["failed_at"] = self._failed_at_s
        return record

    @classmethod
    def from_record(
        cls, record: Mapping[str, float], limits: Limits = DEFAULTS, random: Callable[[], float] = _random.random
    ) -> Breaker:
        """The breaker of a record. A probe that was under way is made again."""
        breaker = cls(limits, random)
        breaker._trips = int(record.get("trips", 0))
        breaker.paused_until_s = record.get("paused_until", 0.0)
        breaker.failing_since_s = record.get("failing_since")
        breaker._failed_at_s = record.get("failed_at", 0.0)
        breaker.probe_at_s = record.get("probe_at", 0.0)
        breaker._turn("open" if "probe_at" in record else "closed")
        return breaker

    # How it changes

    def _not_well(self, generation: int, verdict: Verdict, now_s: float) -> Change | None:
        current = generation == self._generation
        self._mark(now_s)
        change: Change | None = None
        if current and self.state == "half_open":
            change = self._close() if verdict.health == "refused" else self._open(now_s)
        elif current and verdict.health == "failing" and self._count_failure(now_s):
            change = self._open(now_s)
        if verdict.pause_s and self._pause(verdict.pause_s, now_s):
            return change or "paused"
        return change

    def _mark(self, now_s: float) -> None:
        # A failure long after the last one is the first of its own: nothing is known of the time between.
        if self.failing_since_s is None or now_s - self._failed_at_s > self._limits.disable_after_s:
            self.failing_since_s = now_s
        self._failed_at_s = now_s

    def _count_failure(self, now_s: float) -> bool:
        """Count a failure while closed; True where it was one too many."""
        if now_s >= self._bucket_ends_s:
            self._roll(now_s)
        self._run += 1
        self._attempts += 1
        self._failures += 1
        if self._run >= self._limits.consecutive_failures:
            return True
        attempts = self._attempts + sum(a for a, _ in self._buckets)
        failures = self._failures + sum(f for _, f in self._buckets)
        return attempts >= self._limits.rate_attempts and failures >= self._limits.failure_rate * attempts

    def _roll(self, now_s: float) -> None:
        """Begin a new bucket: the sliding window is this one and the last five."""
        width_s = self._limits.window_s / BUCKETS
        behind_s = now_s - self._bucket_ends_s
        if behind_s >= self._limits.window_s:
            self._empty()
            self._bucket_ends_s = now_s + width_s
            return
        for _ in range(int(behind_s / width_s) + 1):
            self._buckets.append((self._attempts, self._failures))
            self._attempts = self._failures = 0
            self._bucket_ends_s += width_s

    def _empty(self) -> None:
        self._attempts = self._failures = 0
        self._buckets.clear()

    def _open(self, now_s: float) -> Change:
        change: Change = "opened" if self.state == "closed" else "reopened"
        wait_s = min(self._limits.first_open_s * 2.0 ** min(self._trips, 60), self._limits.max_open_s)
        self._trips += 1
        self.probe_at_s = now_s + jittered(wait_s, self._random)
        self._turn("open")
        return change

    def _close(self) -> Change:
        self._run = 0
        self._empty()
        self._turn("closed")
        return "closed"

    def _pause(self, pause_s: float, now_s: float) -> bool:
        """Begin a pause, or make it longer; False where the present one is longer already."""
        if now_s + pause_s <= self.paused_until_s:
            return False
        self.paused_until_s = now_s + pause_s + max(pause_s * SPREAD, LEAST_SPREAD_S) * self._random()
        if self.state != "half_open":
            # Of the requests that are told to wait together, only the first counts as a failure.
            self._turn(self.state)
        return True

    def _turn(self, state: State) -> None:
        self.state = state
        self._generation += 1
        if state == "half_open":
            self._gate_s = math.inf
        else:
            self._gate_s = max(self.paused_until_s, self.probe_at_s if state == "open" else 0.0)
