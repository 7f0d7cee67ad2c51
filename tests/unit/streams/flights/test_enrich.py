"""What becomes of a departure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.schemas.catalogue import Catalogue, load_catalogue
from headrace.schemas.codec import AvroCodec
from headrace.schemas.fieldwise import FieldwiseEncoder
from headrace.settings import WorkerSettings
from headrace.streams.flights.enrich import READY, Lookups, delay_class, enrich, weather_key

HOUR = datetime(2013, 1, 1, 10, tzinfo=UTC)
DEPARTURE: dict[str, Any] = {
    "carrier": "UA",
    "flight": 1545,
    "tailnum": "N14228",
    "origin": "EWR",
    "dest": "IAH",
    "scheduled_departure": HOUR,
    "hour": HOUR,
    "dep_delay_min": 2,
    "arr_delay_min": 11,
    "air_time_min": 227,
    "distance_mi": 1400,
}
NEWARK: dict[str, Any] = {
    "faa": "EWR",
    "name": "Newark",
    "lat_deg": 40.7,
    "lon_deg": -74.2,
    "alt_ft": 18,
    "tz_name": None,
}
HOUSTON: dict[str, Any] = {
    "faa": "IAH",
    "name": "Houston",
    "lat_deg": 30.0,
    "lon_deg": -95.3,
    "alt_ft": 97,
    "tz_name": None,
}
PLANE = {
    "tailnum": "N14228",
    "year": 1999,
    "type": "Fixed wing multi engine",
    "manufacturer": "BOEING",
    "model": "737-824",
    "engines": 2,
    "seats": 149,
    "engine": "Turbo-fan",
}
WEATHER = {"id": "EWR/2013-01-01T10:00:00Z", "origin": "EWR", "hour": HOUR} | dict.fromkeys(
    (
        "temp_f",
        "dewpoint_f",
        "humidity_pct",
        "wind_dir_deg",
        "wind_speed_mph",
        "wind_gust_mph",
        "precip_in",
        "pressure_mbar",
        "visibility_mi",
    ),
    1.5,
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(WorkerSettings())


@pytest.fixture(scope="module")
def codec(catalogue: Catalogue) -> AvroCodec:
    codec = catalogue["flights.enriched"].codec
    assert isinstance(codec, AvroCodec)
    return codec


@pytest.fixture(scope="module")
def encoder(codec: AvroCodec) -> FieldwiseEncoder:
    return FieldwiseEncoder(codec, READY)


@pytest.fixture(scope="module")
def lookups(encoder: FieldwiseEncoder) -> Lookups:
    return Lookups(
        {"UA": "United"},
        {a["faa"]: encoder.part("origin_airport", a) for a in (NEWARK, HOUSTON)},
        {"N14228": encoder.part("plane", PLANE)},
        {"EWR/2013-01-01T10:00:00Z": encoder.part("weather", WEATHER)},
    )


def test_a_departure_gets_airline_airports_plane_and_weather(
    codec: AvroCodec, encoder: FieldwiseEncoder, lookups: Lookups
) -> None:
    assert codec.decode(encoder.encode(enrich(DEPARTURE, lookups))) == DEPARTURE | {
        "delay_class": "ON_TIME",
        "airline_name": "United",
        "origin_airport": NEWARK,
        "dest_airport": HOUSTON,
        "plane": PLANE,
        "weather": WEATHER,
    }


def test_what_is_not_known_is_null(codec: AvroCodec, encoder: FieldwiseEncoder) -> None:
    departure = DEPARTURE | {"tailnum": None, "dep_delay_min": None, "arr_delay_min": None, "air_time_min": None}
    enriched = codec.decode(encoder.encode(enrich(departure, Lookups({}, {}, {}, {}))))
    unknown = dict.fromkeys(("airline_name", "origin_airport", "dest_airport", "plane", "weather"))
    assert enriched == departure | unknown | {"delay_class": "CANCELLED"}


@pytest.mark.parametrize(
    ("dep_delay_min", "expected"),
    [
        (None, "CANCELLED"),
        (-43, "EARLY"),
        (-1, "EARLY"),
        (0, "ON_TIME"),
        (14, "ON_TIME"),
        (15, "MINOR"),
        (44, "MINOR"),
        (45, "MAJOR"),
        (119, "MAJOR"),
        (120, "SEVERE"),
        (1301, "SEVERE"),
    ],
)
def test_delay_classes_begin_at_their_minute(dep_delay_min: int | None, expected: str) -> None:
    assert delay_class(dep_delay_min) == expected


def test_weather_is_found_by_airport_and_hour() -> None:
    assert weather_key("EWR", HOUR) == "EWR/2013-01-01T10:00:00Z"
