"""Repeats by event id, within one partition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.streams.dedup import Seen


def test_the_second_record_of_an_event_is_a_repeat() -> None:
    seen = Seen(10)
    assert seen.add(b"a", 0)
    assert seen.add(b"b", 1)
    assert not seen.add(b"a", 2)


def test_a_record_that_is_read_again_is_not_a_repeat_of_itself() -> None:
    seen = Seen(10)
    for _ in range(2):
        assert seen.add(b"a", 0)
        assert not seen.add(b"a", 1)


def test_ids_beyond_the_horizon_are_forgotten_oldest_first() -> None:
    seen = Seen(2)
    for offset, event_id in enumerate([b"a", b"b", b"c"]):
        seen.add(event_id, offset)
    assert len(seen) == 2
    assert not seen.add(b"b", 3)
    assert seen.add(b"a", 4)


def test_a_partition_that_has_just_come_needs_the_ids_below_as_far_as_the_horizon() -> None:
    assert Seen(10).missing_before(100) == range(90, 100)
    assert Seen(10).missing_before(3) == range(3)
    assert not Seen(10).missing_before(0)


def test_a_batch_that_goes_on_or_is_read_again_needs_nothing() -> None:
    seen = Seen(10)
    seen.passed(41)
    assert not seen.missing_before(42)
    assert not seen.missing_before(7)


def test_a_partition_that_was_away_needs_what_it_missed() -> None:
    seen = Seen(10)
    seen.passed(41)
    assert seen.missing_before(45) == range(42, 45)
    assert seen.missing_before(1000) == range(990, 1000)


@given(ids=st.lists(st.integers(0, 30), max_size=120), rewinds=st.lists(st.integers(0, 120), max_size=5))
def test_whatever_is_read_again_every_event_goes_on_from_its_first_record_only(
    ids: list[int], rewinds: list[int]
) -> None:
    seen = Seen(1000)
    log = [str(number).encode() for number in ids]
    for start in [0, *rewinds]:
        went_on = [offset for offset in range(start, len(log)) if seen.add(log[offset], offset)]
        assert went_on == [offset for offset in range(start, len(log)) if log.index(log[offset]) == offset]
