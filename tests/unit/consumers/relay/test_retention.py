"""How long until the log drops what was not delivered."""

from __future__ import annotations

from headrace.consumers.relay.retention import HOUR_MS, LaneAge, at_risk_before_ms, hours_until_loss, parked_at_risk
from headrace.consumers.relay.state import Parked

NOW_MS = 1_795_000_000_000
WEEK_MS = 168 * HOUR_MS


def hours_ago(hours: float) -> int:
    return NOW_MS - int(hours * HOUR_MS)


def test_the_oldest_undelivered_event_of_all_lanes_decides() -> None:
    lanes = [LaneAge(10, 0, hours_ago(1)), LaneAge(7, 7, hours_ago(100)), LaneAge(0, 0, hours_ago(50.5))]
    assert hours_until_loss(lanes, WEEK_MS, NOW_MS) == 68


def test_a_lane_with_nothing_undelivered_loses_nothing() -> None:
    assert hours_until_loss([LaneAge(10, 0, None)], WEEK_MS, NOW_MS) is None
    assert hours_until_loss([LaneAge(10, 0, None), LaneAge(0, 0, hours_ago(160))], WEEK_MS, NOW_MS) == 8
    assert hours_until_loss([], WEEK_MS, NOW_MS) is None


def test_what_is_kept_for_ever_is_never_lost() -> None:
    lanes = [LaneAge(0, 0, hours_ago(1_000_000))]
    assert hours_until_loss(lanes, None, NOW_MS) is None
    assert hours_until_loss(lanes, -1, NOW_MS) is None


def test_what_is_past_its_time_may_go_at_any_moment() -> None:
    assert hours_until_loss([LaneAge(0, 0, hours_ago(169))], WEEK_MS, NOW_MS) == 0


def test_a_lane_behind_the_log_has_lost_events_already_even_where_nothing_is_left() -> None:
    assert hours_until_loss([LaneAge(3, 10, hours_ago(1))], WEEK_MS, NOW_MS) == 0
    assert hours_until_loss([LaneAge(3, 10, None)], WEEK_MS, NOW_MS) == 0


def test_a_record_without_a_time_says_nothing() -> None:
    assert hours_until_loss([LaneAge(3, 0, -1)], WEEK_MS, NOW_MS) is None


def test_parked_events_that_will_be_dropped_soon_are_told_in_the_order_of_the_log() -> None:
    parked = [Parked(1, 9, 1, 0), Parked(0, 5, 2, 0), Parked(0, 4, 1, 0), Parked(0, 6, 1, 0), Parked(2, 0, 1, 0)]
    assert parked_at_risk(parked, {0: 6, 1: 10}) == [parked[2], parked[1], parked[0]]


def test_a_record_is_at_risk_from_the_margin_before_its_time() -> None:
    at_risk = at_risk_before_ms(WEEK_MS, 2 * HOUR_MS, NOW_MS)
    assert at_risk == hours_ago(166)
    for age_hours, expected in ((165, False), (167, True)):
        left = hours_until_loss([LaneAge(0, 0, hours_ago(age_hours))], WEEK_MS, NOW_MS)
        assert left is not None
        assert (hours_ago(age_hours) < at_risk) == (left < 2) == expected


def test_of_a_topic_kept_for_minutes_not_all_is_at_risk() -> None:
    assert at_risk_before_ms(600_000, 24 * HOUR_MS, NOW_MS) == NOW_MS - 540_000


def test_nothing_is_at_risk_where_nothing_is_dropped() -> None:
    assert at_risk_before_ms(None, HOUR_MS, NOW_MS) is None
    assert at_risk_before_ms(-1, HOUR_MS, NOW_MS) is None
