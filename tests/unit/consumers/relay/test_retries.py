"""When a failed event is tried again."""

from __future__ import annotations

import itertools
import random

import pytest

from headrace.consumers.relay.retries import FULL, JITTER, Schedule, jittered

MIDDLE = 0.5


def middle() -> float:
    return MIDDLE


def waits(schedule: Schedule) -> list[float | None]:
    return [schedule.wait_s(attempt, middle) for attempt in range(1, schedule.attempts + 1)]


def test_the_full_schedule_is_the_specifications_three_days() -> None:
    assert waits(FULL) == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400, None]
    # The specification's column "time since start": the tenth attempt after 75:35:05.
    assert list(itertools.accumulate(FULL.waits_s))[-1] == 75 * 3600 + 35 * 60 + 5


def test_the_shorter_one_is_the_beginning_of_it() -> None:
    assert waits(FULL.short) == [5, 300, 1800, None]


def test_the_shorter_one_of_a_schedule_that_is_short_already_is_itself() -> None:
    assert Schedule((1, 2)).short == Schedule((1, 2))


def test_without_waits_the_first_attempt_is_the_last() -> None:
    assert Schedule(()).wait_s(1, middle) is None


def test_after_the_last_attempt_there_is_none_however_many_were_made() -> None:
    assert FULL.wait_s(5000, middle) is None


def test_waits_are_spread_over_a_fifth_to_both_sides() -> None:
    found = [jittered(100, random.random) for _ in range(2000)]
    assert 100 * (1 - JITTER) <= min(found) < 85
    assert 115 < max(found) <= 100 * (1 + JITTER)


@pytest.mark.parametrize("wait_s", [0, -1, float("nan"), float("inf"), 8 * 86_400])
def test_a_wait_that_is_none_is_refused(wait_s: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and at most 604800 s"):
        Schedule((5, wait_s))


def test_a_schedule_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 50 waits, not 51"):
        Schedule((1.0,) * 51)
