"""Pace, by a clock that stands still until it is set."""

from __future__ import annotations

import pytest

from headrace.producers.replay.pace import Pace, parse_speed


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_the_first_row_is_due_at_once_and_the_next_by_its_distance() -> None:
    clock = Clock()
    pace = Pace(3600, clock)
    assert pace.wait_s(5_000_000) == 0
    assert pace.wait_s(5_000_000 + 3_600_000) == pytest.approx(1.0)
    clock.now_s += 0.75
    assert pace.wait_s(5_000_000 + 3_600_000) == pytest.approx(0.25)
    clock.now_s += 0.25
    assert pace.wait_s(5_000_000 + 3_600_000) == pytest.approx(0, abs=1e-9)


def test_what_fell_behind_catches_up() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    pace.wait_s(0)
    clock.now_s += 60
    assert pace.wait_s(59_000) == 0
    assert pace.wait_s(61_000) == pytest.approx(1.0)


def test_a_row_from_the_past_is_due_at_once() -> None:
    pace = Pace(1, Clock())
    pace.wait_s(10_000)
    assert pace.wait_s(4_000) == 0


def test_at_full_speed_nothing_waits() -> None:
    pace = Pace(None, Clock())
    assert pace.wait_s(0) == 0
    assert pace.wait_s(10**12) == 0


def test_a_speed_is_max_or_a_positive_number() -> None:
    assert parse_speed("max") is None
    assert parse_speed("3600") == 3600
    assert parse_speed("0.5") == 0.5
    for text in ("0", "-1", "inf", "nan", "fast", ""):
        with pytest.raises(ValueError, match=text or "could not convert"):
            parse_speed(text)
