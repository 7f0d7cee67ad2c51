"""The latest leg of every plane."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from headrace.streams.flights.enrich import Departure, delay_class

FIELDS = (
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "scheduled_departure",
    "dep_delay_min",
    "arr_delay_min",
)


class Aircraft:
    """Which leg of each plane is the latest so far: one moment per tail number, no more.

    What it knows comes from the compacted topic that the legs are written to, and from what it has just let through,
    which comes back from the topic only later. Both only move a plane's moment forward, so neither their order nor
    hearing of a leg twice matters.
    """

    def __init__(self) -> None:
        self._latest: dict[str, datetime] = {}

    def learn(self, tailnum: str, leg: dict[str, Any] | None) -> None:
        """Hear of a leg that is in the topic; None where the plane was taken out of it."""
        if leg is None:
            self._latest.pop(tailnum, None)
        elif tailnum not in self._latest or leg["scheduled_departure"] > self._latest[tailnum]:
            self._latest[tailnum] = leg["scheduled_departure"]

    def latest_legs(self, departures: Iterable[Departure]) -> dict[str, dict[str, Any]]:
        """The legs to write: per tail number at most one, the latest of the batch, where it is later than all before.

        A cancelled flight is no leg; nor has a departure without tail number one.
        """
        latest: dict[str, Departure] = {}
        for departure in departures:
            tailnum = departure["tailnum"]
            if tailnum is None or departure["dep_delay_min"] is None:
                continue
            known = self._latest.get(tailnum)
            if known is None or departure["scheduled_departure"] > known:
                self._latest[tailnum] = departure["scheduled_departure"]
                latest[tailnum] = departure
        return {tailnum: _leg(departure) for tailnum, departure in latest.items()}


def _leg(departure: Departure) -> dict[str, Any]:
    leg = {name: departure[name] for name in FIELDS}
    leg["delay_class"] = delay_class(departure["dep_delay_min"])
    return leg
