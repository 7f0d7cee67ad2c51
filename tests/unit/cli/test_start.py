from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import typer

from headrace.cli.start import parse_start

TOKEN = "00000000000000c8AQx2AbQ-_0gAAwcyZA"


@pytest.mark.parametrize("offset", ["-1", "now", TOKEN, "2013", "20130101"])
def test_offsets_are_left_to_the_gateway(offset: str) -> None:
    assert parse_start(offset) == {"offset": offset, "from_time": None}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T09:00:00Z", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("2026-11-24 09:00:00.5+01:00", datetime(2026, 11, 24, 9, 0, 0, 500_000, timezone(timedelta(hours=1)))),
    ],
)
def test_times_are_read_with_their_offset_from_utc(text: str, moment: datetime) -> None:
    assert parse_start(text) == {"offset": None, "from_time": moment}


@pytest.mark.parametrize("text", ["2026-11-24", "2026-11-24T09:00:00", "2026-13-01T00:00:00Z", "2026-1-1"])
def test_times_that_are_none_or_not_clear_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_start(text)
