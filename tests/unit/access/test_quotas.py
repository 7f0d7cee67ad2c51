"""Quotas, by a clock that the test moves."""

from __future__ import annotations

import pytest

from headrace.access import quotas
from headrace.access.quotas import Meters, Quotas


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def meter(clock: Clock, limits: Quotas, prefix: str = "") -> quotas.Meter:
    made = Meters(prefix, clock).of("somebody", limits)
    assert made is not None
    return made


def test_requests_are_admitted_at_their_rate(clock: Clock) -> None:
    of_two = meter(clock, Quotas(requests_per_s=2))
    for _ in range(2):
        assert of_two.refusal() is None
        of_two.charge(requests=1)
    refusal = of_two.refusal()
    assert refusal is not None
    assert (refusal.quota, refusal.wait_s) == ("requests", 0.5)

    clock.now_s += 0.5
    assert of_two.refusal() is None


def test_a_rate_below_one_lets_one_request_through(clock: Clock) -> None:
    slow = meter(clock, Quotas(requests_per_s=0.1))
    assert slow.refusal() is None
    slow.charge(requests=1)
    clock.now_s += 9.9
    assert slow.refusal() is not None
    clock.now_s += 0.2
    assert slow.refusal() is None


def test_an_answer_may_hold_more_than_is_left_and_is_paid_for_before_the_next(clock: Clock) -> None:
    of_bytes = meter(clock, Quotas(bytes_per_s=1000))
    assert of_bytes.refusal() is None
    assert of_bytes.charge(bytes_=5000) == pytest.approx(4.0)
    refusal = of_bytes.refusal()
    assert refusal is not None
    assert refusal.quota == "bytes"
    assert refusal.wait_s == pytest.approx(4.0)

    clock.now_s += 4.0
    assert of_bytes.refusal() is None


def test_idle_time_saves_up_no_more_than_a_second(clock: Clock) -> None:
    of_events = meter(clock, Quotas(events_per_s=10))
    clock.now_s += 3600
    of_events.charge(events=10)
    assert of_events.refusal() is None
    of_events.charge(events=1)
    assert of_events.refusal() is not None


def test_headers_tell_the_policy_and_what_is_left(clock: Clock) -> None:
    both = meter(clock, Quotas(requests_per_s=5, bytes_per_s=100, connections=3), "address-")
    both.charge(requests=2, bytes_=150)
    assert list(both.policies()) == [
        '"address-requests";q=5;w=1',
        '"address-bytes";q=100;qu="content-bytes";w=1',
        '"address-connections";q=3;qu="concurrent-requests"',
    ]
    assert list(both.standings()) == [
        '"address-requests";r=3;t=1',
        '"address-bytes";r=0;t=2',
        '"address-connections";r=3',
    ]


def test_limits_of_a_key_go_before_the_defaults() -> None:
    assert Quotas(requests_per_s=1).over(Quotas(2, 3, None, 4)) == Quotas(1, 3, None, 4)


def test_who_has_no_quotas_has_no_meter(clock: Clock) -> None:
    assert Meters("", clock).of("somebody", Quotas()) is None


def test_changed_quotas_hold_at_once(clock: Clock) -> None:
    meters = Meters("", clock)
    first = meters.of("somebody", Quotas(requests_per_s=1))
    assert meters.of("somebody", Quotas(requests_per_s=1)) is first
    changed = meters.of("somebody", Quotas(requests_per_s=9))
    assert changed is not None
    assert changed.quotas.requests_per_s == 9


def test_those_who_ask_no_more_are_forgotten_and_those_who_owe_are_not(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "PRUNE_AT", 2)
    meters = Meters("", clock)
    limits = Quotas(bytes_per_s=1)
    for name, size in (("a", 1), ("b", 100)):
        found = meters.of(name, limits)
        assert found is not None
        found.charge(bytes_=size)
    clock.now_s += 10
    meters.prune()
    assert len(meters) == 1
    owing = meters.of("b", limits)
    assert owing is not None
    assert owing.refusal() is not None
