"""What a new owner makes of the leases that it finds."""

from __future__ import annotations

import pytest

from headrace.consumers.relay.grant import Grant, Leased, grant_record
from headrace.consumers.relay.state import LaneState, Parked, lane_record, parked_record, stored
from headrace.consumers.relay.taking_over import honoured

NAME = "sub\0" + "2026-11-01T00:00:00Z"
NOW_MS = 1_000_000
LATER_MS = 1_030_000


def grant(*events: Leased, until_ms: int = LATER_MS, name: str = "a") -> tuple[bytes, bytes]:
    return grant_record(NAME, 0, name, Grant(until_ms, events))


def lane(position: int, *done: tuple[int, int]) -> tuple[bytes, bytes]:
    return lane_record(NAME, 0, 1, 0, LaneState(position, done))


def parked(*records: tuple[bytes, bytes]) -> list[Parked]:
    found, _ = honoured(stored(records), NAME, NOW_MS)
    return sorted(found.parked, key=lambda p: (p.partition, p.offset))


def test_what_is_leased_is_parked_until_its_time_and_what_is_done_is_left_out() -> None:
    events = [Leased(0, offset, 1) for offset in range(4, 9)]
    assert parked(lane(5, (6, 8)), grant(*events)) == [
        Parked(0, 5, 1, LATER_MS, leased=True),
        Parked(0, 8, 1, LATER_MS, leased=True),
    ]


def test_a_lease_that_has_ended_tells_how_often_the_event_was_delivered() -> None:
    assert parked(grant(Leased(0, 0, 3, b"key"), until_ms=NOW_MS)) == [Parked(0, 0, 3, NOW_MS, b"key")]


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_the_last_lease_of_an_event_counts_and_of_that_the_longest_time(names: str) -> None:
    first = grant(Leased(0, 0, 1), until_ms=NOW_MS, name=names[0])
    second = grant(Leased(0, 0, 2), name=names[1])
    extended = grant(Leased(0, 0, 2), until_ms=LATER_MS + 5, name="c")
    for records in ((first, second, extended), (extended, second, first)):
        assert parked(*records) == [Parked(0, 0, 2, LATER_MS + 5, leased=True)]


def test_an_event_that_was_given_back_is_leased_no_more() -> None:
    reference = Parked(0, 0, 1, NOW_MS + 5)
    assert parked(parked_record(NAME, 0, reference), grant(Leased(0, 0, 1))) == [reference]


def test_a_parked_event_that_is_leased_again_is_leased() -> None:
    reference = Parked(0, 0, 1, NOW_MS - 5, dead=7)
    assert parked(parked_record(NAME, 0, reference), grant(Leased(0, 0, 2))) == [
        Parked(0, 0, 2, LATER_MS, dead=7, leased=True)
    ]


def test_the_references_come_before_what_removes_the_grants_and_say_the_same() -> None:
    records = [lane(1), grant(Leased(0, 1, 1), Leased(1, 0, 2, b"\xff"))]
    found, written = honoured(stored(records), NAME, NOW_MS)
    assert [value is None for _, value in written] == [False, False, True]
    assert found.grants == {}
    between = dict(records) | {key: value for key, value in written if value is not None}
    after = {key: value for key, value in (between | dict(written)).items() if value is not None}
    assert parked(*between.items()) == parked(*after.items())
    assert (len(found.parked), stored(after.items()).grants) == (2, {})


def test_without_leases_nothing_is_written() -> None:
    found = stored([lane(3), parked_record(NAME, 0, Parked(0, 1, 1, 5))])
    assert honoured(found, NAME, NOW_MS) == (found, [])
