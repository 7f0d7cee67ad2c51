"""The window of requests in flight to one endpoint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.relay.outcome import verdict
from headrace.consumers.relay.window import START, Window


def answered(window: Window, status: int | None, times: int = 1) -> None:
    for _ in range(times):
        window.ended(window.generation, verdict(status, {}))


def test_it_starts_small_and_grows_with_every_success_to_its_most() -> None:
    window = Window(64)
    assert window.size == START
    answered(window, 204)
    assert window.size == START + 1
    answered(window, 204, 100)
    assert window.size == 64


@pytest.mark.parametrize("status", [None, 408, 429, 500, 502, 503, 504])
def test_it_halves_when_the_endpoint_is_out_of_reach_or_too_busy(status: int | None) -> None:
    window = Window(64)
    answered(window, 200, 100)
    sizes = []
    for _ in range(8):
        answered(window, status)
        sizes.append(window.size)
    assert sizes == [32, 16, 8, 4, 2, 1, 1, 1]


def test_requests_that_fail_together_halve_it_once() -> None:
    window = Window(64)
    answered(window, 200, 100)
    sent = [window.generation] * 64
    for generation in sent:
        window.ended(generation, verdict(503, {}))
    assert window.size == 32
    answered(window, 503)
    assert window.size == 16, "this one was sent after the halving"


def test_successes_from_before_the_halving_do_not_undo_it() -> None:
    window = Window(64)
    answered(window, 200, 100)
    before = window.generation
    answered(window, None)
    for _ in range(63):
        window.ended(before, verdict(200, {}))
    assert window.size == 32


@pytest.mark.parametrize("status", [301, 400, 404, 410, 425])
def test_an_event_that_the_endpoint_refuses_says_nothing_of_its_load(status: int) -> None:
    window = Window(64)
    answered(window, status)
    assert window.size == START


def test_after_an_outage_it_doubles_with_each_round_trip() -> None:
    window = Window(64)
    answered(window, 200, 100)
    before = window.generation
    window.restart()
    window.ended(before, verdict(200, {}))
    sizes = []
    for _ in range(7):
        sizes.append(window.size)
        answered(window, 200, window.size)
    assert sizes == [1, 2, 4, 8, 16, 32, 64]


def test_a_small_limit_holds_from_the_start() -> None:
    window = Window(2)
    answered(window, 200)
    assert window.size == 2


def test_no_request_at_all_is_not_a_window() -> None:
    with pytest.raises(ValueError, match="at least one request"):
        Window(0)


@given(st.integers(1, 100), st.lists(st.none() | st.sampled_from([200, 400, 429, 500])))
def test_it_stays_between_one_and_its_most(most: int, statuses: list[int | None]) -> None:
    window = Window(most)
    for status in statuses:
        answered(window, status)
        assert 1 <= window.size <= most
