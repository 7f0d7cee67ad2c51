"""The window of requests in flight to one endpoint."""

from __future__ import annotations

import pytest

from headrace.consumers.relay.window import START, Window


def test_it_starts_small_and_grows_with_every_success_to_its_most() -> None:
    window = Window(64)
    assert window.size == START
    for _ in range(100):
        window.answered(204)
    assert window.size == 64


@pytest.mark.parametrize("status", [None, 429, 500, 502, 503, 504])
def test_it_halves_when_the_endpoint_is_out_of_reach_or_too_busy(status: int | None) -> None:
    window = Window(64)
    for _ in range(100):
        window.answered(200)
    sizes = []
    for _ in range(8):
        window.answered(status)
        sizes.append(window.size)
    assert sizes == [32, 16, 8, 4, 2, 1, 1, 1]


@pytest.mark.parametrize("status", [301, 400, 404, 410])
def test_an_event_that_the_endpoint_refuses_says_nothing_of_its_load(status: int) -> None:
    window = Window(64)
    window.answered(status)
    assert window.size == START


def test_a_small_limit_holds_from_the_start() -> None:
    window = Window(2)
    window.answered(200)
    assert window.size == 2
