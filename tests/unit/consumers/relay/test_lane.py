"""A lane against a plain model of it: sets of offsets."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.consumers.relay.lane import Lane
from headrace.consumers.relay.state import (
    LaneState,
    Parked,
    base_record,
    lane_record,
    next_epoch,
    parked_record,
    stored,
)

NAME = "s\x002026-11-24T00:00:00.000Z"
WRITER = 1_795_000_000_000


class Lanes(RuleBasedStateMachine):
    """One partition with holes, read by one owner after another; each knows only what the one before had written."""

    @initialize(
        offsets=st.sets(st.integers(0, 60), max_size=40),
        start=st.integers(0, 20),
    )
    def begin(self, offsets: set[int], start: int) -> None:
        self.log = sorted(offset for offset in offsets if offset >= start)
        self.lane = Lane(LaneState(start))
        self.in_flight: set[int] = set()
        self.settled: set[int] = set()
        self.parked: dict[int, Parked] = {}
        self.written = self.begun = self.lane.state()
        self.known: set[int] = set()

    def covered(self, state: LaneState) -> set[int]:
        return {o for o in self.log if o < state.position or any(a <= o < b for a, b in state.done)}

    @rule(count=st.integers(1, 10), beyond=st.integers(0, 3))
    def read_on(self, count: int, beyond: int) -> None:
        batch = [offset for offset in self.log if offset >= self.lane.fetched][:count]
        for offset in batch:
            taken = self.lane.take(offset)
            assert taken == (offset not in self.known)
            if taken:
                self.in_flight.add(offset)
        if batch:
            following = next((offset for offset in self.log if offset > batch[-1]), batch[-1] + 4)
            self.lane.pass_to(min(batch[-1] + 1 + beyond, following))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.in_flight)))
        self.in_flight.remove(offset)
        self.settled.add(offset)
        self.lane.settle(offset)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.in_flight)))
        self.in_flight.remove(offset)
        self.parked[offset] = Parked(0, offset, 1, 0)
        self.lane.settle(offset)

    @precondition(lambda self: self.parked)
    @rule(data=st.data())
    def deliver_parked(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.parked)))
        del self.parked[offset]
        self.settled.add(offset)

    @rule()
    def write(self) -> None:
        state = self.lane.moved()
        if state is None:
            assert self.covered(self.lane.state()) == self.covered(self.begun)
        else:
            assert self.lane.moved() == state, "it was not written yet"
            self.lane.written()
            assert self.lane.moved() is None
            self.written = self.begun = state

    @rule()
    def another_owner(self) -> None:
        records = [lane_record(NAME, 0, WRITER, 0, self.written)]
        records += [parked_record(NAME, 0, parked) for parked in self.parked.values()]
        found = stored(records)
        assert sorted(found.parked, key=lambda p: p.offset) == [self.parked[offset] for offset in sorted(self.parked)]
        self.begun = found.lane(0, (0,))
        self.lane = Lane(self.begun)
        self.known = self.covered(self.written) | self.parked.keys()
        self.in_flight = set()

    @invariant()
    def nothing_unsettled_lies_below_the_position(self) -> None:
        if not hasattr(self, "lane"):
            return
        done = self.settled | self.parked.keys()
        assert all(offset in done for offset in self.log if offset < self.lane.position)

    @invariant()
    def what_is_written_covers_only_what_is_settled(self) -> None:
        if not hasattr(self, "lane"):
            return
        state = self.lane.state()
        done = self.settled | self.parked.keys()
        assert self.covered(state) <= done
        assert {o for o in self.log if o < self.lane.fetched} - self.in_flight <= self.covered(state)

    @invariant()
    def what_is_in_flight_is_unsettled(self) -> None:
        if hasattr(self, "lane"):
            assert self.lane.unsettled == len(self.in_flight)


TestLanes = Lanes.TestCase


def test_a_state_comes_back_from_its_record() -> None:
    state = LaneState(7, ((9, 12), (20, 21)))
    assert stored([lane_record(NAME, 3, WRITER, 2, state), base_record(NAME, 3, "x")]).lanes == {2: state}


def test_what_is_of_an_older_epoch_does_not_count() -> None:
    base = base_record(NAME, 2, "x")
    old = [lane_record(NAME, 1, WRITER, 0, LaneState(100)), parked_record(NAME, 1, Parked(0, 5, 1, 0))]
    found = stored([*old, base, lane_record(NAME, 2, WRITER, 1, LaneState(3))])
    assert (found.epoch, found.base, found.lanes, found.parked) == (2, "x", {1: LaneState(3)}, [])
    assert found.stale == [key for key, _ in old]


def test_a_seek_that_a_former_owner_writes_late_neither_counts_nor_touches_that_of_its_successor() -> None:
    epochs = {name: next_epoch(7, since_ms) for name, since_ms in {"former": 1_000_000, "successor": 1_006_000}.items()}
    former, successor = (base_record(NAME, epoch, name) for name, epoch in epochs.items())
    lane = lane_record(NAME, epochs["successor"], WRITER, 0, LaneState(5))
    found = stored(dict([successor, lane, former]).items())
    assert (found.base, found.lanes, found.stale) == ("successor", {0: LaneState(5)}, [former[0]])
    # Though the former one had as many seeks as fit into the session that ended before the other began.
    epoch = epochs["former"]
    for _ in range(5999):
        epoch = next_epoch(epoch, 1_000_000)
    assert epoch < epochs["successor"]


def test_without_a_base_the_first_epoch_counts() -> None:
    found = stored([lane_record(NAME, 0, WRITER, 0, LaneState(4)), lane_record(NAME, 1, WRITER, 1, LaneState(9))])
    assert found.lanes == {0: LaneState(4)}


def test_a_lane_that_was_never_written_begins_where_the_subscription_begins_and_a_new_partition_at_0() -> None:
    found = stored([])
    assert [found.lane(p, (10, 20)) for p in range(3)] == [LaneState(10), LaneState(20), LaneState(0)]


def test_what_goes_by_at_the_tail_is_written_only_with_what_was_settled_or_when_it_is_touched() -> None:
    lane = Lane(LaneState(5))
    lane.fetched = 8
    assert lane.moved() is None
    lane.touch()
    assert lane.moved() == LaneState(8)
    lane.take(8)
    lane.written()
    lane.fetched = 9
    lane.settle(8)
    assert lane.moved() == LaneState(9), "what changed after it was asked for is still to be written"
    lane.written()
    assert lane.moved() is None


def test_a_parked_event_is_settled_though_its_lane_was_not_written_since() -> None:
    found = stored(
        [lane_record(NAME, 0, WRITER, 0, LaneState(4, ((8, 10),))), parked_record(NAME, 0, Parked(0, 6, 1, 0))]
    )
    lane = Lane(found.lane(0, (0,)))
    assert [offset for offset in range(4, 12) if lane.take(offset)] == [4, 5, 7, 10, 11]


@pytest.mark.parametrize("key", [None, b"", b"\x00\xff", "Ключ".encode()])
def test_a_parked_event_comes_back_with_its_key(key: bytes | None) -> None:
    parked = Parked(3, 2**40, 12, 1_795_000_000_000, key)
    assert stored([parked_record(NAME, 0, parked)]).parked == [parked]


def test_the_keys_of_a_state_are_those_of_its_records() -> None:
    lane, parked = lane_record(NAME, 3, WRITER, 5, LaneState(4)), parked_record(NAME, 3, Parked(1, 2, 1, 0))
    base, old = base_record(NAME, 3, "x"), lane_record(NAME, 1, WRITER, 5, LaneState(4))
    assert stored([old, base, lane, parked]).keys_of_epoch(NAME) == [base[0], lane[0], parked[0], old[0]]


def test_what_two_owners_say_is_done_of_a_lane_counts_together() -> None:
    late = lane_record(NAME, 0, WRITER, 0, LaneState(4, ((6, 8), (20, 22))))
    newer = lane_record(NAME, 0, WRITER + 1, 0, LaneState(5, ((5, 6), (9, 12), (21, 25))))
    assert late[0] != newer[0]
    for records in ([late, newer], [newer, late]):
        found = stored(records)
        assert found.lanes == {0: LaneState(8, ((9, 12), (20, 25)))}
        assert found.lane_keys == {0: {late[0], newer[0]}}
