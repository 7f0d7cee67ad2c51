"""The time of an event, from what its field holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from headrace.producers.replay.event_time import time_reader
from headrace.schemas.avro_leaf import Unconvertible
from headrace.schemas.codec import JsonCodec

read = time_reader(JsonCodec(), "at")


@pytest.mark.parametrize(
    "value",
    [
        "2013-01-31T10:00:00.123Z",
        "2013-01-31T05:00:00.123-05:00",
        1359626400123,
        "1359626400123",
        datetime(2013, 1, 31, 10, 0, 0, 123_999, UTC),
        datetime(2013, 1, 31, 5, 0, 0, 123_000, timezone(timedelta(hours=-5))),
    ],
)
def test_one_moment_in_each_of_its_forms(value: object) -> None:
    assert read(value) == 1359626400123


@pytest.mark.parametrize("value", ["2013-01-31", date(2013, 1, 31)])
def test_a_date_is_its_midnight_in_utc(value: object) -> None:
    assert read(value) == 1359590400000


@pytest.mark.parametrize("value", [None, "", "soon", "2013-01-31T10:00:00", True, [], 10**20, float("nan")])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(Unconvertible):
        read(value)
