from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.websocket.flow import MOST, Credit

sizes = st.lists(st.integers(1, 1000), min_size=1, max_size=50)


@given(st.integers(1, 100), st.integers(0, 5000), sizes)
def test_as_many_as_there_is_credit_for_and_no_more(events: int, size_bytes: int, wanted: list[int]) -> None:
    credit = Credit(events, size_bytes)
    count = credit.spend(wanted)
    assert (credit.events, credit.bytes) == (events - count, size_bytes - sum(wanted[:count]))
    assert credit.events >= 0
    assert credit.bytes >= 0
    # The next one would not have fitted.
    assert count == len(wanted) or credit.events == 0 or wanted[count] > credit.bytes


def test_an_event_that_is_too_large_waits_until_there_is_credit_for_all_of_it() -> None:
    credit = Credit(10, 99)
    assert credit.spend([100]) == 0
    assert credit.is_short
    assert credit.needed_bytes == 100
    credit.grant(0, 1)
    assert not credit.is_short
    assert credit.spend([100]) == 1
    assert credit.needed_bytes == 1


def test_credit_without_an_end_stays_so() -> None:
    credit = Credit(MOST, MOST)
    credit.grant(MOST, MOST)
    assert (credit.events, credit.bytes) == (MOST, MOST)
