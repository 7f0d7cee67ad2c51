"""How a subscription behaves: its own options, where it has none the relay's settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headrace.consumers.relay.breaker import DEFAULTS, Limits
from headrace.consumers.relay.options import Batching, Options
from headrace.consumers.relay.rate import RateLimit, rate_limit
from headrace.consumers.relay.retries import Schedule
from headrace.settings import RelaySettings


@dataclass(frozen=True, slots=True)
class Policy:
    """What is decided before the first attempt."""

    batch: Batching
    schedule: Schedule
    limits: Limits
    max_in_flight: int
    max_parked: int
    rate_limit_per_s: float | None
    granted_per_min: int | None

    @classmethod
    def of(cls, options: Options, granted_per_min: int | None, settings: RelaySettings) -> Policy:
        """The policy of a subscription; `granted_per_min` is what its endpoint allowed when it was verified."""
        limits = replace(
            DEFAULTS,
            consecutive_failures=options.failures_to_open or settings.failures_to_open,
            first_open_s=settings.first_open_s,
            max_open_s=settings.max_open_s,
            disable_after_s=options.disable_after_s or settings.disable_after_s,
        )
        return cls(
            batch=options.batch,
            schedule=Schedule(settings.retry_schedule_s if options.retry_s is None else options.retry_s),
            limits=limits,
            max_in_flight=options.max_in_flight or settings.max_in_flight,
            max_parked=settings.max_parked,
            rate_limit_per_s=options.rate_limit_per_s,
            granted_per_min=granted_per_min,
        )

    def rate(self) -> RateLimit | None:
        """A rate limit that has not been used yet, or None where there is no limit."""
        return rate_limit(self.rate_limit_per_s, self.granted_per_min)
