"""The line-up against a plain model of it: every job that is not done, in the order of their coming, and its state."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from enum import Enum, auto
from unittest.mock import patch

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.consumers.relay.lineup import Job, Lineup, now_ms

KEYS = st.sampled_from([None, b"a", b"b"])
HOUR_MS = 3_600_000
FROM_NOW_MS = st.integers(-20, 40)


class State(Enum):
    """How a job stands. `READY` has not failed here, `AGAIN` became due."""

    BEHIND = auto()
    READY = auto()
    AGAIN = auto()
    IN_FLIGHT = auto()
    DUE = auto()


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time passes when it is told to."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        super().__init__()

    def time(self) -> float:
        return self.now_ms / 1000


class Lineups(RuleBasedStateMachine):
    """Jobs come, go, fail and become due in any order."""

    @initialize()
    def begin(self) -> None:
        self.loop = Loop()
        self.clock = patch("headrace.consumers.relay.lineup.now_ms", lambda: self.loop.now_ms)
        self.clock.start()
        self.lineup = Lineup(self.on_due)
        self.offsets = itertools.count()
        self.states: dict[Job, State] = {}
        self.due_ms: dict[Job, int] = {}
        self.turns: list[Job] = []
        self.rang_for_nothing = False

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.clock.stop()
            self.loop.close()

    def on_loop(self, call: Callable[[], None]) -> None:
        async def run() -> None:
            call()

        self.loop.run_until_complete(run())
        assert not self.rang_for_nothing

    def on_due(self) -> None:
        due = [job for job, due_ms in self.due_ms.items() if due_ms <= self.loop.now_ms]
        self.rang_for_nothing |= not due
        for job in due:
            self.states[job] = State.AGAIN
            del self.due_ms[job]

    def those(self, state: State) -> list[Job]:
        return [job for job, of_it in self.states.items() if of_it is state]

    def of_key(self, key: bytes | None) -> list[Job]:
        return [job for job in self.states if job.key == key]

    def come(self, key: bytes | None, *, parked: bool) -> tuple[Job, bool]:
        job = Job(0, next(self.offsets), key, None, parked=parked)
        first = key is None or not self.of_key(key)
        self.states[job] = State.BEHIND
        return job, first

    def has_its_turn(self, job: Job) -> None:
        self.states[job] = State.READY
        self.turns.append(job)

    @rule(key=KEYS)
    def a_new_one(self, key: bytes | None) -> None:
        job, first = self.come(key, parked=False)
        self.lineup.add(job)
        if first:
            self.has_its_turn(job)

    @rule(key=KEYS, from_now_ms=FROM_NOW_MS)
    def one_that_failed_before(self, key: bytes | None, from_now_ms: int) -> None:
        job, first = self.come(key, parked=True)
        due_ms = self.loop.now_ms + from_now_ms
        self.on_loop(lambda: self.lineup.add_failed(job, due_ms))
        if first:
            self.states[job] = State.DUE
            self.due_ms[job] = due_ms

    @rule()
    def take(self) -> None:
        job, again, ready = self.lineup.take(), self.those(State.AGAIN), self.those(State.READY)
        if again:
            assert job in again
        elif ready:
            assert job is next(turn for turn in self.turns if turn in ready)
        else:
            assert job is None
        if job is not None:
            assert job.key is None or job is self.of_key(job.key)[0]
            self.states[job] = State.IN_FLIGHT

    @precondition(lambda self: self.those(State.IN_FLIGHT))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.those(State.IN_FLIGHT)))
        self.lineup.settle(job)
        del self.states[job]
        if job.key is not None and (left := self.of_key(job.key)):
            self.has_its_turn(left[0])

    @precondition(lambda self: self.those(State.IN_FLIGHT))
    @rule(data=st.data(), from_now_ms=FROM_NOW_MS, parked=st.booleans())
    def fail(self, data: st.DataObject, from_now_ms: int, parked: bool) -> None:
        job = data.draw(st.sampled_from(self.those(State.IN_FLIGHT)))
        job.parked |= parked
        self.states[job] = State.DUE
        self.due_ms[job] = due_ms = self.loop.now_ms + from_now_ms
        self.on_loop(lambda: self.lineup.retry_at(job, due_ms))

    @rule(ms=st.integers(1, 30))
    def time_passes(self, ms: int) -> None:
        self.loop.now_ms += ms
        self.on_loop(lambda: None)
        assert all(due_ms >= self.loop.now_ms for due_ms in self.due_ms.values()), "the alarm did not ring"

    @invariant()
    def all_that_wait_are_known_with_their_time(self) -> None:
        if hasattr(self, "lineup"):
            waiting = {
                job: self.due_ms.get(job, 0)
                for job, state in self.states.items()
                if state is not State.IN_FLIGHT or job.key is not None
            }
            assert self.lineup.waiting() == waiting

    @invariant()
    def what_is_behind_a_parked_one_that_is_not_due_is_known(self) -> None:
        if hasattr(self, "lineup"):
            heads = {job.key for job in self.those(State.DUE) if job.parked}
            behind = [job for job in self.those(State.BEHIND) if job.key in heads and not job.parked]
            assert set(self.lineup.behind_parked()) == set(behind)


TestLineups = Lineups.TestCase


def job(offset: int, key: bytes | None = None) -> Job:
    return Job(0, offset, key, None)


def taken(lineup: Lineup) -> list[int]:
    """The offsets of all that may go, in their order."""
    return [found.offset for found in iter(lineup.take, None)]


def test_what_is_new_goes_in_its_order() -> None:
    lineup = Lineup(None)
    for offset in range(5):
        lineup.add(job(offset))
    assert taken(lineup) == [0, 1, 2, 3, 4]


def test_a_key_lets_one_go_at_a_time_and_holds_up_no_other() -> None:
    lineup = Lineup(None)
    first, second, other = job(0, b"a"), job(1, b"a"), job(2, b"b")
    for each in (first, second, other):
        lineup.add(each)
    assert taken(lineup) == [0, 2]
    lineup.settle(other)
    assert taken(lineup) == []
    lineup.settle(first)
    assert taken(lineup) == [1]


async def test_a_failed_event_holds_up_its_key_until_it_is_done() -> None:
    rung = asyncio.Event()
    lineup = Lineup(rung.set)
    failing = job(0, b"a")
    lineup.add(failing)
    lineup.add(job(1, b"a"))
    assert lineup.take() is failing
    lineup.retry_at(failing, now_ms())
    assert lineup.take() is None
    await asyncio.wait_for(rung.wait(), 5)
    assert taken(lineup) == [0]
    lineup.settle(failing)
    assert taken(lineup) == [1]


async def test_what_has_become_due_goes_before_what_is_new() -> None:
    rung = asyncio.Event()
    lineup = Lineup(rung.set)
    for offset in range(3):
        lineup.add(job(offset))
    failing = lineup.take()
    assert failing is not None
    lineup.retry_at(failing, now_ms() + 5)
    await asyncio.wait_for(rung.wait(), 5)
    assert taken(lineup) == [0, 1, 2]


async def test_the_alarm_goes_by_the_earliest_whatever_was_added_first() -> None:
    rung = asyncio.Event()
    lineup = Lineup(rung.set)
    lineup.add_failed(job(0), now_ms() + HOUR_MS)
    lineup.add_failed(job(1), now_ms() + 20)
    lineup.add_failed(job(2), now_ms() + 2 * HOUR_MS)
    await asyncio.wait_for(rung.wait(), 5)
    assert taken(lineup) == [1]


@pytest.mark.parametrize("closed", [False, True])
async def test_nothing_becomes_due_where_nobody_is_called_or_after_the_close(closed: bool) -> None:
    called: list[str] = []
    lineup = Lineup((lambda: called.append("due")) if closed else None)
    lineup.add_failed(job(0), now_ms())
    lineup.close()
    lineup.add_failed(job(1), 7)
    rung = asyncio.Event()
    another = Lineup(rung.set)
    another.add_failed(job(2), now_ms() + 10)
    await asyncio.wait_for(rung.wait(), 5)
    assert (called, taken(lineup)) == ([], [])
    assert {each.offset for each in lineup.waiting()} == {0, 1}


def test_events_that_go_soon_after_are_those_of_the_key_then_all_that_are_ready() -> None:
    lineup = Lineup(None)
    keyed, free = job(0, b"a"), job(1)
    for each in (keyed, free, job(2, b"a"), job(3), job(4, b"b")):
        lineup.add(each)
    assert lineup.take() is keyed
    assert lineup.take() is free
    assert [each.offset for each in lineup.following(keyed)] == [0, 2, 3, 4]
    assert [each.offset for each in lineup.following(free)] == [3, 4]
