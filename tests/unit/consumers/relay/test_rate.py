"""The rate limit of one endpoint."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.relay.rate import BURST_S, CLOCK_S, RateLimit, granted_per_min, rate_limit

START_S = 1_795_000_000.0
"""Seconds since 1970: where floats are coarse."""


def at_once(limit: RateLimit, now_s: float) -> int:
    return sum(1 for _ in itertools.takewhile(lambda wait_s: wait_s == 0, iter(lambda: limit.take(now_s), None)))


def greedy(limit: RateLimit, start_s: float, count: int) -> list[float]:
    """When so many tokens were taken by one who waits as long as told."""
    now_s = start_s
    taken: list[float] = []
    while len(taken) < count:
        if wait_s := limit.take(now_s):
            now_s += wait_s
        else:
            taken.append(now_s)
    return taken


@pytest.mark.parametrize(("rate_per_s", "burst"), [(0.1, 1), (1, 1), (9, 1), (10, 2), (50, 6), (6000, 601)])
def test_a_quiet_time_earns_one_request_and_a_tenth_of_a_second_and_no_more(rate_per_s: float, burst: int) -> None:
    limit = RateLimit(rate_per_s)
    assert at_once(limit, START_S) == burst
    assert at_once(limit, START_S + 1e6) == burst


def test_the_wait_is_until_the_next_token() -> None:
    limit = RateLimit(5)  # holds 1.5
    waits_s = [limit.take(now_s) for now_s in (100.0, 100.0, 100.06, 100.1, 100.1)]
    assert waits_s == [0, pytest.approx(0.1), pytest.approx(0.04), 0, pytest.approx(0.2)]


@pytest.mark.parametrize("rate_per_s", [0.7, 3, 100, 7000 / 3])
def test_it_is_exact_over_long_runs(rate_per_s: float) -> None:
    count = 100_000
    taken = greedy(RateLimit(rate_per_s), START_S, count)
    burst = 1 + rate_per_s * BURST_S
    assert taken[-1] - START_S == pytest.approx((count - burst) / rate_per_s, abs=2 * CLOCK_S)


@pytest.mark.parametrize("rate_per_s", [2, 9, 300])
def test_timers_that_are_late_take_nothing_from_it(rate_per_s: float) -> None:
    late = random.Random(1)
    limit, now_s, taken = RateLimit(rate_per_s), START_S, 0
    while taken < 3000:
        if wait_s := limit.take(now_s):
            now_s += wait_s + late.uniform(0, 0.05)
        else:
            taken += 1
    assert now_s - START_S == pytest.approx(3000 / rate_per_s, abs=0.1 + 1 / rate_per_s)


def test_being_asked_at_odd_times_takes_nothing_from_the_rate() -> None:
    limit = RateLimit(1000)
    granted = sum(at_once(limit, START_S + tick * 0.013) for tick in range(10_000))
    assert granted == pytest.approx(1000 * 0.013 * 9_999 + limit.burst, abs=1)


@given(st.floats(0.05, 5000), st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_no_span_of_time_gets_more_than_the_rate_and_a_burst(rate_per_s: float, gaps_s: list[float]) -> None:
    limit = RateLimit(rate_per_s)
    times_s = list(itertools.accumulate(gaps_s, initial=START_S))
    taken = [at_once(limit, now_s) for now_s in times_s]
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            most = limit.burst + rate_per_s * (times_s[last] - times_s[first] + 2 * CLOCK_S)
            assert sum(taken[first : last + 1]) <= most + 1e-6


@pytest.mark.parametrize("per_min", [1, 7, 120, 6000, 60_000])
def test_no_minute_gets_more_than_the_receiver_granted(per_min: int) -> None:
    limit = rate_limit(None, per_min)
    assert limit is not None
    taken = greedy(limit, START_S, 2 * per_min)
    for first, last in zip(taken, taken[per_min:], strict=False):
        assert last - first > 60 - 2 * CLOCK_S


def test_the_lower_of_the_two_rates_holds() -> None:
    granted = rate_limit(100, 60)
    assert granted is not None
    assert granted.rate_per_s == pytest.approx(60 / 60.1)
    configured = rate_limit(2, 6000)
    assert configured is not None
    assert configured.rate_per_s == 2
    assert rate_limit(None, None) is None


def test_a_grant_is_a_number_of_requests_per_minute_or_everything() -> None:
    assert granted_per_min(" 120 ") == 120
    assert granted_per_min("*") is None


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "many", "\u00b2", "9" * 5000])
def test_another_grant_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="WebHook-Allowed-Rate must be requests per minute"):
        granted_per_min(value)


@pytest.mark.parametrize("rate_per_s", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate_per_s: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 per second"):
        RateLimit(rate_per_s)
