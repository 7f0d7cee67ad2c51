"""A departure with all that is known about it. Pure functions: no Kafka, no Faust."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from headrace.schemas.fieldwise import NULL

Departure = dict[str, Any]
"""A decoded `flights.Departure`."""

READY = ("origin_airport", "dest_airport", "plane", "weather")
"""The fields of `flights.EnrichedDeparture` that reference data fill, encoded already."""

_FROM_MIN = (0, 15, 45, 120)
_CLASSES = ("EARLY", "ON_TIME", "MINOR", "MAJOR", "SEVERE")


@dataclass(frozen=True, slots=True)
class Lookups:
    """Reference data by key. All but the airlines' names are `FieldwiseEncoder` parts."""

    airline_names: Mapping[str, str]
    airports: Mapping[str, bytes]
    planes: Mapping[str, bytes]
    weather: Mapping[str, bytes]


def enrich(departure: Departure, lookups: Lookups) -> dict[str, Any]:
    """The fields of a `flights.EnrichedDeparture`, for `FieldwiseEncoder`. What is not known is null."""
    airports = lookups.airports
    return {
        **departure,
        "delay_class": delay_class(departure["dep_delay_min"]),
        "airline_name": lookups.airline_names.get(departure["carrier"]),
        "origin_airport": airports.get(departure["origin"], NULL),
        "dest_airport": airports.get(departure["dest"], NULL),
        "plane": lookups.planes.get(departure["tailnum"] or "", NULL),
        "weather": lookups.weather.get(weather_key(departure["origin"], departure["hour"]), NULL),
    }


def delay_class(dep_delay_min: int | None) -> str:
    """How late a flight left.

    | class | minutes after schedule |
    |---|---|
    | EARLY | below 0 |
    | ON_TIME | 0 to 14 |
    | MINOR | 15 to 44 |
    | MAJOR | 45 to 119 |
    | SEVERE | 120 and more |
    | CANCELLED | it never left: None |
    """
    return "CANCELLED" if dep_delay_min is None else _CLASSES[bisect_right(_FROM_MIN, dep_delay_min)]


@lru_cache(maxsize=50_000)
def weather_key(origin: str, hour: datetime) -> str:
    """The key of the weather at an airport in an hour: `EWR/2013-01-01T10:00:00Z`."""
    return f"{origin}/{hour:%Y-%m-%dT%H:%M:%SZ}"
