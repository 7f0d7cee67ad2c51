"""The series of each subscription that a relay owns: read from what runs there when Prometheus asks for them.

A gauge of prometheus-client takes a kilobyte for each of its series; thousands of subscriptions need none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

LABELS = ("subscription", "feed")
GAUGES = {
    "headrace_relay_lag_events": "Events not yet delivered.",
    "headrace_relay_parked_events": "Failed events that wait for their retry.",
    "headrace_relay_breaker_state": (
        "Whether its endpoint may be sent to: 0 closed, 1 half-open, 2 open, 3 paused by Retry-After, 4 disabled."
    ),
    "headrace_relay_hours_until_loss": "Hours until the log drops what was not delivered.",
}


class Reading(NamedTuple):
    """How one subscription stands. `breaker` is None where there is no endpoint; nothing is to be lost without end."""

    subscription: str
    feed: str
    lag: int
    parked: int
    breaker: int | None
    hours_until_loss: float


class SubscriptionSeries(Collector):
    """Reads `sources`, each the subscriptions of one relay, on the thread that asks."""

    def __init__(self) -> None:
        self.sources: set[Callable[[], Iterable[Reading]]] = set()
        REGISTRY.register(self)

    def describe(self) -> list[GaugeMetricFamily]:
        """What there is, without a series."""
        return [GaugeMetricFamily(name, text, labels=LABELS) for name, text in GAUGES.items()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The series as they are now, one gauge after another: the samples of one take megabytes."""
        readings = [reading for source in list(self.sources) for reading in source()]
        for family, member in zip(self.describe(), Reading._fields[len(LABELS) :], strict=True):
            for reading in readings:
                if (value := getattr(reading, member)) is not None:
                    family.add_metric((reading.subscription, reading.feed), value)
            yield family
