from __future__ import annotations

import pytest
from confluent_kafka import Message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headrace.consumers.core.record import Record
from headrace.consumers.core.ring import ARRIVAL_S, Ring

UNBOUNDED = 2**40


def record_at(offset: int, value_bytes: int = 0) -> Record:
    message = Message(topic="t", partition=0, offset=offset, value=b"x" * value_bytes)
    return Record(message, 0, offset)


class RingAgainstAList(RuleBasedStateMachine):
    """The model: all that ever came, as (offset, bytes, arrival), and the offset below which all was evicted."""

    @initialize(start=st.integers(0, 1000), max_bytes=st.integers(0, 20_000))
    def make(self, start: int, max_bytes: int) -> None:
        self.ring = Ring(start, max_bytes)
        self.max_bytes = max_bytes
        self.first = self.next = start
        self.now_s = 0.0
        self.came: list[tuple[Record, float]] = []
        self.unsettled = False

    @rule(hole=st.integers(0, 5), value_bytes=st.integers(0, 800))
    def append(self, hole: int, value_bytes: int) -> None:
        record = record_at(self.next + hole, value_bytes)
        self.ring.append(record)
        self.next = record.offset + 1
        self.came.append((record, self.now_s))
        self.unsettled = True

    @rule(back=st.integers(1, 20))
    def append_again(self, back: int) -> None:
        if self.next >= back:
            self.ring.append(record_at(self.next - back))

    @rule(on=st.integers(-5, 10))
    def reach(self, on: int) -> None:
        self.ring.reach(self.next + on)
        self.next = max(self.next, self.next + on)

    @rule(passed_s=st.floats(0, 5))
    def settle(self, passed_s: float) -> None:
        self.ring.settle(self.now_s)
        self.unsettled = False
        assert self.ring.memory_bytes <= self.max_bytes
        self.now_s += passed_s

    @rule(age_s=st.floats(0, 10))
    def expire(self, age_s: float) -> None:
        if self.unsettled:
            self.settle(0.0)
        self.first = self.ring.start
        self.ring.expire(self.now_s - age_s)
        kept = self.kept()
        assert all(arrived >= self.now_s - age_s for _, arrived in kept), "too old"
        evicted_for_age = [a for r, a in self.came if r.offset < self.ring.start and r.offset >= self.first]
        assert all(arrived < self.now_s - age_s + ARRIVAL_S for arrived in evicted_for_age), "evicted too early"

    @rule(at=st.integers(0, 50))
    def restart(self, at: int) -> None:
        self.next += at
        self.ring.restart(self.next)
        self.came.clear()
        self.unsettled = False

    @rule(back=st.integers(0, 60), limit=st.integers(0, 30), max_bytes=st.integers(0, 5000) | st.just(UNBOUNDED))
    def read(self, back: int, limit: int, max_bytes: int) -> None:
        offset = max(self.ring.start, self.next - back)
        found, after = self.ring.read(offset, limit, max_bytes)
        wanted = [r for r, _ in self.kept() if r.offset >= offset]
        assert found == wanted[: len(found)]
        assert len(found) <= limit
        assert sum(r.size_bytes for r in found[:-1]) < max(max_bytes, 1)
        if limit == 0:
            assert after == offset
        elif len(found) == len(wanted):
            assert after == max(offset, self.next)
        else:
            assert after == found[-1].offset + 1
            assert len(found) == limit or sum(r.size_bytes for r in found) >= max_bytes

    def kept(self) -> list[tuple[Record, float]]:
        return [(r, a) for r, a in self.came if r.offset >= self.ring.start]

    @invariant()
    def it_holds_all_that_came_from_its_start_to_its_end(self) -> None:
        if not hasattr(self, "ring"):
            return
        assert self.ring.end == self.next
        assert self.ring.read(self.ring.start, UNBOUNDED, UNBOUNDED)[0] == [r for r, _ in self.kept()]
        assert self.ring.memory_bytes == sum(r.memory_bytes for r, _ in self.kept())


RingAgainstAList.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestRing = RingAgainstAList.TestCase


def test_a_ring_that_is_fed_all_the_time_keeps_few_notes_of_arrivals() -> None:
    ring = Ring(0, UNBOUNDED)
    for index in range(10_000):
        ring.append(record_at(index))
        ring.settle(index / 1000)
    for index in range(10_000):
        ring.settle(10 + index / 1000)
    assert len(ring._arrivals) <= 11


def test_what_is_evicted_is_soon_let_go_of() -> None:
    ring = Ring(0, 6_100_000)
    for offset in range(100):
        ring.append(record_at(offset, 1_000_000))
        ring.settle(0.0)
    assert sum(record.memory_bytes for record in ring._records) < 8_000_000


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_of_any_size_give_every_record_once(limit: int) -> None:
    ring = Ring(10, UNBOUNDED)
    for offset in range(10, 100, 3):
        ring.append(record_at(offset))
    ring.reach(120)
    at, found = 10, []
    while at < ring.end:
        page, at = ring.read(at, limit, UNBOUNDED)
        found += [record.offset for record in page]
    assert found == list(range(10, 100, 3))
    assert at == 120
