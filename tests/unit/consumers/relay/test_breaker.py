"""The breaker of one endpoint."""

from __future__ import annotations

import math
import random

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headrace.consumers.relay.breaker import Breaker, Change, Limits
from headrace.consumers.relay.outcome import Verdict, verdict

NOW_S = 1_795_000_000.0
DAY_S = 86_400.0

DELIVERED = verdict(204, {})
FAILED = verdict(503, {})
REFUSED = verdict(422, {})
WAIT = verdict(429, {"retry-after": "60"})


def middle() -> float:
    return 0.5


def breaker(**limits: float) -> Breaker:
    return Breaker(Limits(**limits), middle)  # type: ignore[arg-type]


def send(b: Breaker, found: Verdict, now_s: float = NOW_S) -> Change | None:
    assert b.may_start(now_s)
    return b.ended(b.started(), found, now_s)


def opened(now_s: float = NOW_S) -> Breaker:
    b = breaker()
    for _ in range(10):
        send(b, FAILED, now_s)
    assert b.state == "open"
    return b


def probe_time_s(b: Breaker, now_s: float) -> float:
    at_s = b.next_change(now_s)
    assert at_s is not None
    return at_s


# Opening


def test_it_opens_on_failures_in_a_row() -> None:
    b = breaker()
    changes = [send(b, FAILED) for _ in range(10)]
    assert changes == [None] * 9 + ["opened"]
    assert not b.may_start(NOW_S)


def test_one_success_between_begins_the_row_anew() -> None:
    b = breaker(failure_rate=1)
    for _ in range(5):
        for found in [*[FAILED] * 9, DELIVERED]:
            send(b, found)
    assert b.state == "closed"


def test_failures_in_a_row_count_however_far_apart_they_are() -> None:
    b = breaker()
    for hour in range(10):
        send(b, FAILED, NOW_S + hour * 3600)
    assert b.state == "open"


def test_it_opens_when_half_of_the_attempts_of_a_minute_fail() -> None:
    b = breaker()
    for n in range(9):
        send(b, DELIVERED, NOW_S + n)
        send(b, FAILED, NOW_S + n)
    assert b.state == "closed", "18 attempts are too few to judge by"
    send(b, DELIVERED, NOW_S + 9)
    assert send(b, FAILED, NOW_S + 9) == "opened"


def test_attempts_of_more_than_a_minute_ago_do_not_count() -> None:
    b = breaker()
    for n in range(100):
        send(b, DELIVERED, NOW_S + n / 10)
    for n in range(10):
        send(b, FAILED, NOW_S + 30 + n)
        send(b, DELIVERED, NOW_S + 30 + n)
    assert send(b, FAILED, NOW_S + 45) is None, "11 of 121 failed"
    send(b, DELIVERED, NOW_S + 45)
    assert send(b, FAILED, NOW_S + 75) == "opened", "12 of 23 failed"


def test_one_bad_event_does_not_stop_a_working_endpoint() -> None:
    b = breaker()
    bad_s = [0.0]
    for wait_s in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400):
        bad_s.append(bad_s[-1] + wait_s)
    for at_s in range(0, int(bad_s[-1]) + 600, 600):  # another event each 10 minutes
        for due_s in [due_s for due_s in bad_s if at_s <= due_s < at_s + 600]:
            send(b, FAILED, NOW_S + due_s)
        send(b, DELIVERED, NOW_S + at_s + 599)
    assert b.state == "closed"
    assert not b.should_disable


def test_events_that_are_refused_do_not_open_it() -> None:
    b = breaker()
    for _ in range(1000):
        assert send(b, REFUSED) is None
    assert b.may_start(NOW_S)


def test_what_was_sent_together_and_fails_together_opens_it_once() -> None:
    b = breaker()
    sent = [b.started() for _ in range(64)]
    changes = [b.ended(generation, FAILED, NOW_S) for generation in sent]
    assert changes == [None] * 9 + ["opened"] + [None] * 54
    assert probe_time_s(b, NOW_S) == NOW_S + 5


def test_the_caller_may_open_it() -> None:
    b = breaker()
    assert b.trip(NOW_S) == "opened"
    assert b.trip(NOW_S) is None
    assert b.next_change(NOW_S) == NOW_S + 5


# Open, half-open, and closed again


def test_it_waits_twice_as_long_after_each_failed_probe_to_ten_minutes() -> None:
    b = opened()
    now_s, waits = NOW_S, []
    for _ in range(9):
        at_s = probe_time_s(b, now_s)
        waits.append(at_s - now_s)
        assert not b.may_start(at_s - 0.001)
        now_s = at_s
        assert send(b, FAILED, now_s) == "reopened"
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]


def test_probes_are_spread_by_a_fifth_to_both_sides() -> None:
    seed = random.Random(1)
    waits = []
    for _ in range(500):
        b = Breaker(random=seed.random)
        b.trip(NOW_S)
        waits.append(probe_time_s(b, NOW_S) - NOW_S)
    assert 4 <= min(waits) < 4.2
    assert 5.8 < max(waits) <= 6


def test_one_probe_goes_at_a_time() -> None:
    b = opened()
    at_s = probe_time_s(b, NOW_S)
    probe = b.started()
    assert b.state == "half_open"
    assert not b.may_start(at_s + DAY_S)
    assert b.next_change(at_s) is None
    assert b.ended(probe, DELIVERED, at_s + 1) == "closed"
    assert b.may_start(at_s + 1)


def test_after_a_success_the_next_outage_begins_with_a_short_wait() -> None:
    b = opened()
    for _ in range(5):
        send(b, FAILED, probe_time_s(b, NOW_S))
    now_s = probe_time_s(b, NOW_S)
    send(b, DELIVERED, now_s)
    for _ in range(10):
        send(b, FAILED, now_s)
    assert probe_time_s(b, now_s) == now_s + 5


def test_a_refused_probe_shows_that_the_endpoint_works_but_not_that_it_is_well() -> None:
    b = opened()
    now_s = probe_time_s(b, NOW_S)
    assert send(b, REFUSED, now_s) == "closed"
    for _ in range(10):
        send(b, FAILED, now_s)
    assert probe_time_s(b, now_s) == now_s + 10


def test_a_probe_that_was_never_sent_leaves_its_place_to_another() -> None:
    b = opened()
    at_s = probe_time_s(b, NOW_S)
    b.abandoned(b.started())
    assert b.state == "open"
    assert send(b, DELIVERED, at_s) == "closed"


def test_what_was_sent_before_the_outage_says_nothing_of_what_is_now() -> None:
    b = breaker()
    before = [b.started() for _ in range(20)]
    for generation in before[:10]:
        b.ended(generation, FAILED, NOW_S)
    probe_s = probe_time_s(b, NOW_S)
    assert b.ended(before[10], DELIVERED, NOW_S + 1) is None
    assert b.ended(before[11], FAILED, NOW_S + 1) is None
    assert (b.state, b.next_change(NOW_S + 1)) == ("open", probe_s)
    probe = b.started()
    assert b.ended(before[12], DELIVERED, probe_s) is None
    assert b.state == "half_open"
    assert b.ended(probe, DELIVERED, probe_s) == "closed"
    for generation in before[13:]:
        b.ended(generation, FAILED, probe_s)
    assert all(send(b, FAILED, probe_s) is None for _ in range(9)), "none of those before counts"


# Pauses


def test_retry_after_pauses_the_endpoint_and_a_little_longer() -> None:
    b = breaker()
    assert send(b, WAIT) == "paused"
    assert b.state == "closed"
    assert b.next_change(NOW_S) == NOW_S + 63
    assert not b.may_start(NOW_S + 62.9)
    assert b.may_start(NOW_S + 63)


@pytest.mark.parametrize(("pause_s", "spread_s"), [("1", 1), ("60", 6), ("86400", 8640)])
def test_those_that_were_told_to_wait_alike_do_not_come_back_together(pause_s: str, spread_s: float) -> None:
    seed = random.Random(1)
    back_s = []
    for _ in range(500):
        b = Breaker(random=seed.random)
        send(b, verdict(503, {"retry-after": pause_s}))
        back_s.append(b.paused_until_s - NOW_S - float(pause_s))
    assert 0 <= min(back_s) < 0.05 * spread_s
    assert 0.95 * spread_s < max(back_s) <= spread_s


def test_of_many_that_are_told_to_wait_together_one_counts_as_a_failure() -> None:
    b = breaker()
    sent = [b.started() for _ in range(64)]
    changes = [b.ended(generation, WAIT, NOW_S) for generation in sent]
    assert changes == ["paused"] + [None] * 63
    assert b.state == "closed"


def test_a_rate_limit_that_gives_a_hundred_each_second_never_opens_it() -> None:
    b, now_s = breaker(), NOW_S
    for _ in range(300):
        sent = [b.started() for _ in range(160)]
        for n, generation in enumerate(sent):
            b.ended(generation, DELIVERED if n < 100 else verdict(429, {"retry-after": "1"}), now_s)
        assert b.state == "closed"
        now_s = probe_time_s(b, now_s)


def test_an_endpoint_that_only_ever_says_later_opens_it() -> None:
    b, now_s = breaker(), NOW_S
    for _ in range(9):
        assert send(b, WAIT, now_s) == "paused"
        now_s = probe_time_s(b, now_s)
    assert send(b, WAIT, now_s) == "opened"


def test_a_pause_holds_while_open_and_the_longer_of_two_counts() -> None:
    b = opened()
    now_s = probe_time_s(b, NOW_S)
    assert send(b, WAIT, now_s) == "reopened"
    assert b.next_change(now_s) == now_s + 63
    late = breaker()
    first, second = late.started(), late.started()
    late.ended(first, WAIT, NOW_S)
    assert late.ended(second, verdict(429, {"retry-after": "5"}), NOW_S) is None
    assert late.next_change(NOW_S) == NOW_S + 63


def test_a_late_request_that_is_told_to_wait_does_not_lose_the_probe() -> None:
    b = breaker()
    late = b.started()
    for _ in range(10):
        send(b, FAILED)
    now_s = probe_time_s(b, NOW_S)
    probe = b.started()
    assert b.ended(late, WAIT, now_s) == "paused"
    assert b.ended(probe, DELIVERED, now_s) == "closed"
    assert b.next_change(now_s) == now_s + 63


# Its end


def test_five_days_of_failure_without_a_success_disable_it() -> None:
    b = opened()
    now_s = NOW_S
    while not b.should_disable:
        now_s = probe_time_s(b, now_s)
        send(b, FAILED, now_s)
    assert 5 * DAY_S <= now_s - NOW_S < 5 * DAY_S + 720
    assert b.failing_since_s == NOW_S


def test_one_success_within_the_five_days_begins_them_anew() -> None:
    b = opened()
    now_s = probe_time_s(b, NOW_S)
    while now_s < NOW_S + 4 * DAY_S:
        send(b, FAILED, now_s)
        now_s = probe_time_s(b, now_s)
    send(b, DELIVERED, now_s)
    assert b.failing_since_s is None
    send(b, FAILED, now_s + 2 * DAY_S)
    assert not b.should_disable


def test_five_days_of_nothing_but_refusals_disable_it() -> None:
    b = breaker()
    for hour in range(5 * 24 + 1):
        assert not b.should_disable
        send(b, REFUSED, NOW_S + hour * 3600)
    assert b.should_disable
    assert b.state == "closed"


def test_silence_after_a_failure_proves_nothing() -> None:
    b = breaker()
    send(b, FAILED, NOW_S)
    send(b, FAILED, NOW_S + 9 * DAY_S)
    assert not b.should_disable
    assert b.failing_since_s == NOW_S + 9 * DAY_S


# The next owner


def test_a_working_endpoint_leaves_nothing_to_tell() -> None:
    b = breaker()
    send(b, FAILED)
    assert b.to_record(NOW_S) == {"failing_since": NOW_S, "failed_at": NOW_S}
    send(b, DELIVERED)
    assert b.to_record(NOW_S) == {}


def next_owner(b: Breaker, now_s: float) -> Breaker:
    return Breaker.from_record(orjson.loads(orjson.dumps(b.to_record(now_s))), random=middle)


def test_open_stays_open_for_the_next_owner_and_the_back_off_goes_on() -> None:
    b = opened()
    b = next_owner(b, NOW_S + 1)
    assert b.state == "open"
    assert b.next_change(NOW_S + 1) == NOW_S + 5
    send(b, FAILED, NOW_S + 5)
    assert b.next_change(NOW_S + 5) == NOW_S + 15
    assert b.failing_since_s == NOW_S


def test_a_probe_that_was_under_way_is_made_again_by_the_next_owner() -> None:
    b = opened()
    now_s = probe_time_s(b, NOW_S)
    b.started()
    b = next_owner(b, now_s)
    assert send(b, DELIVERED, now_s) == "closed"


def test_a_pause_is_kept_by_the_next_owner_until_it_is_over() -> None:
    b = breaker()
    send(b, WAIT)
    assert next_owner(b, NOW_S + 1).next_change(NOW_S + 1) == NOW_S + 63
    assert next_owner(b, NOW_S + 64).may_start(NOW_S + 64)


def test_owners_may_change_while_an_endpoint_fails_for_five_days() -> None:
    b = opened()
    now_s = NOW_S
    while not b.should_disable:
        now_s = probe_time_s(b, now_s)
        send(b, FAILED, now_s)
        b = next_owner(b, now_s)
    assert now_s - NOW_S >= 5 * DAY_S


@pytest.mark.parametrize(
    "limits",
    [
        {"consecutive_failures": 0},
        {"rate_attempts": 0},
        {"failure_rate": 0},
        {"failure_rate": 1.1},
        {"first_open_s": 0},
        {"first_open_s": 601},
        {"max_open_s": math.inf},
        {"window_s": 0},
        {"disable_after_s": 0},
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a breaker's"):
        breaker(**limits)


class AnyUse(RuleBasedStateMachine):
    """Whatever happens to it, it keeps its promises, and never locks an endpoint out for good."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.random = random.Random(seed).random
        self.breaker = Breaker(Limits(consecutive_failures=3, rate_attempts=6), self.random)
        self.now_s = NOW_S
        self.in_flight: list[int] = []
        self.probe: int | None = None

    @rule(seconds=st.floats(0, 700))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def start(self) -> None:
        if self.breaker.may_start(self.now_s):
            was = self.breaker.state
            generation = self.breaker.started()
            self.in_flight.append(generation)
            if was != "closed":
                assert self.probe is None, "one probe at a time"
                self.probe = generation

    @rule(data=st.data(), found=st.sampled_from([DELIVERED, FAILED, REFUSED, WAIT, verdict(None, {})]))
    def end(self, data: st.DataObject, found: Verdict) -> None:
        if self.in_flight:
            generation = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
            was = self.breaker.state
            change = self.breaker.ended(generation, found, self.now_s)
            if generation == self.probe:
                self.probe = None
                assert change == ("closed" if found.health != "failing" else "reopened")
            elif was != "closed":
                assert self.breaker.state == was, "only the probe decides"
            assert (self.breaker.failing_since_s is None) == (found.health == "well")

    @rule()
    def give_up(self) -> None:
        if self.probe is not None:
            self.in_flight.remove(self.probe)
            self.breaker.abandoned(self.probe)
            self.probe = None

    @rule()
    def park_too_many(self) -> None:
        was = self.breaker.state
        assert (self.breaker.trip(self.now_s) == "opened") == (was == "closed")

    @rule()
    def move(self) -> None:
        before = self.breaker
        self.breaker = Breaker.from_record(before.to_record(self.now_s), before._limits, self.random)
        self.in_flight, self.probe = [], None
        assert (self.breaker.state == "closed") == (before.state == "closed")
        if before.state != "half_open":
            assert self.breaker.next_change(self.now_s) == before.next_change(self.now_s)

    @invariant()
    def says_when(self) -> None:
        at_s = self.breaker.next_change(self.now_s)
        if self.breaker.state == "half_open":
            assert self.probe is not None
            assert not self.breaker.may_start(math.nextafter(math.inf, 0))
        elif self.breaker.may_start(self.now_s):
            assert at_s is None
        else:
            assert at_s is not None
            assert self.now_s < at_s <= self.now_s + 720
            assert self.breaker.may_start(at_s)


AnyUse.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestAnyUse = AnyUse.TestCase
