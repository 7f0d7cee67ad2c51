"""The latest leg of every plane."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.streams.flights.aircraft import Aircraft

MIDNIGHT = datetime(2013, 1, 1, tzinfo=UTC)


def departure(hours: int, tailnum: str | None = "N1", dep_delay_min: int | None = 20) -> dict[str, Any]:
    moment = MIDNIGHT + timedelta(hours=hours)
    return {
        "carrier": "UA",
        "flight": hours,
        "tailnum": tailnum,
        "origin": "EWR",
        "dest": "IAH",
        "scheduled_departure": moment,
        "hour": moment,
        "dep_delay_min": dep_delay_min,
        "arr_delay_min": None,
        "air_time_min": None,
        "distance_mi": 1400,
    }


def test_a_batch_gives_one_leg_per_plane_the_latest() -> None:
    legs = Aircraft().latest_legs([departure(3), departure(9), departure(5), departure(1, "N2")])
    assert {tailnum: leg["flight"] for tailnum, leg in legs.items()} == {"N1": 9, "N2": 1}


def test_a_leg_says_how_late_it_left_and_not_how_far_it_went() -> None:
    leg = Aircraft().latest_legs([departure(3)])["N1"]
    assert leg["delay_class"] == "MINOR"
    assert "distance_mi" not in leg


def test_an_older_leg_that_comes_later_does_not_overwrite() -> None:
    aircraft = Aircraft()
    aircraft.latest_legs([departure(9)])
    assert aircraft.latest_legs([departure(3), departure(9)]) == {}


def test_legs_that_another_process_wrote_count() -> None:
    aircraft = Aircraft()
    aircraft.learn("N1", departure(9))
    aircraft.learn("N1", departure(3))
    assert aircraft.latest_legs([departure(8)]) == {}
    assert "N1" in aircraft.latest_legs([departure(10)])


def test_a_plane_that_was_taken_out_begins_anew() -> None:
    aircraft = Aircraft()
    aircraft.learn("N1", departure(9))
    aircraft.learn("N1", None)
    assert "N1" in aircraft.latest_legs([departure(1)])


def test_cancelled_flights_and_unknown_planes_are_no_legs() -> None:
    assert Aircraft().latest_legs([departure(1, None), departure(2, dep_delay_min=None)]) == {}
