"""What an answer means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.relay.outcome import MAX_PAUSE_S, Action, Health, page, retry_after_s, verdict

PAGE = Path(__file__).parents[4] / "docs" / "outcomes.md"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()


def test_the_page_shows_the_table_as_it_is() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python -m headrace.consumers.relay.outcome > docs/outcomes.md"


@pytest.mark.parametrize(
    ("statuses", "action", "health", "slow_down"),
    [
        ([200, 201, 202, 204, 226, 299], "done", "well", False),
        ([300, 301, 302, 304, 307, 308], "retry", "failing", False),
        ([410], "disable", "failing", False),
        ([408, 429], "retry", "failing", True),
        ([425], "retry", "failing", False),
        ([500, 501, 502, 503, 504, 520, 599], "retry", "failing", True),
        ([None], "retry", "failing", True),
        ([400, 409, 413, 415, 422], "retry_short", "refused", False),
        (
            [401, 402, 403, 404, 405, 406, 407, 411, 412, 414, 418, 421, 426, 431, 451, 499],
            "retry_short",
            "failing",
            False,
        ),
        ([101, 199, 600, 999], "retry", "failing", False),
    ],
)
def test_the_status_decides(statuses: list[int | None], action: Action, health: Health, slow_down: bool) -> None:
    for status in statuses:
        found = verdict(status, {})
        assert (found.action, found.health, found.slow_down) == (action, health, slow_down), status
        assert found.pause_s is None
        assert found.delivered == (action == "done")


@given(st.none() | st.integers(100, 599))
def test_only_a_2xx_is_delivered(status: int | None) -> None:
    assert verdict(status, {}).delivered == (status is not None and 200 <= status < 300)


@pytest.mark.parametrize("status", [200, 302, 400, 404, 429, 500])
def test_a_receiver_may_ask_for_no_more(status: int) -> None:
    found = verdict(status, {"webhook-delivery": "disable"})
    assert found.action == "disable"
    assert found.delivered == (status == 200), "after a 2xx the event itself is done"


@pytest.mark.parametrize("status", [302, 400, 404, 410, 429, 500])
def test_a_receiver_may_ask_for_no_more_of_one_event(status: int) -> None:
    found = verdict(status, {"webhook-delivery": "abort-message"})
    assert (found.action, found.health, found.delivered) == ("dead_letter", "refused", False)
    assert found.slow_down == verdict(status, {}).slow_down


def test_after_a_success_there_is_nothing_to_abort() -> None:
    assert verdict(204, {"webhook-delivery": "abort-message"}) == verdict(204, {})


def test_the_header_is_read_whatever_its_case_and_a_list_may_ask_for_both() -> None:
    assert verdict(500, {"webhook-delivery": " Abort-Message "}).action == "dead_letter"
    assert verdict(500, {"webhook-delivery": "abort-message, disable"}).action == "disable"
    assert verdict(500, {"webhook-delivery": "faster"}) == verdict(500, {})


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_pauses_the_endpoint(status: int) -> None:
    found = verdict(status, {"retry-after": "120"})
    assert (found.action, found.pause_s) == ("retry", 120)


def test_retry_after_pauses_the_endpoint_whatever_becomes_of_the_event() -> None:
    found = verdict(429, {"retry-after": "120", "webhook-delivery": "abort-message"})
    assert (found.action, found.pause_s) == ("dead_letter", 120)


@pytest.mark.parametrize("status", [200, 301, 400, 500, 502, 504])
def test_retry_after_means_nothing_on_other_answers(status: int) -> None:
    assert verdict(status, {"retry-after": "120"}).pause_s is None


def test_retry_after_may_be_a_date() -> None:
    headers = {"retry-after": format_datetime(NOW + timedelta(minutes=5), usegmt=True)}
    assert verdict(503, headers, lambda: NOW_S).pause_s == 300


@pytest.mark.parametrize(
    ("value", "pause_s"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("86401", MAX_PAUSE_S),
        ("9" * 5000, MAX_PAUSE_S),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30),
        ("Tuesday, 24-Nov-26 12:00:30 GMT", 30),
        ("Tue Nov 24 12:00:30 2026", 30),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("Tue, 24 Nov 2037 11:00:00 GMT", MAX_PAUSE_S),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("\u00b2", None),
        ("Tue, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_read_as_the_rfc_has_it_and_garbage_is_ignored(value: str, pause_s: float | None) -> None:
    assert retry_after_s(value, NOW_S) == pause_s


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,6} [A-Z][a-z]{2} [0-9]{1,9} [0-9:]{0,9}( [A-Z+0-9]*)?"))
def test_no_retry_after_does_harm(value: str) -> None:
    pause_s = retry_after_s(value, NOW_S)
    assert pause_s is None or 0 <= pause_s <= MAX_PAUSE_S
