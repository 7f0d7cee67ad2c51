"""Turns of endpoints under one limit of requests in flight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.relay.turns import Place, Turns


class Sender:
    """An endpoint with so many events to send, and a window."""

    def __init__(self, turns: Turns, sent: list[str], name: str, events: int = 0, window: int = 1000) -> None:
        self.place: Place = turns.place(self.send)
        self.sent = sent
        self.name = name
        self.events = events
        self.window = window

    def send(self) -> bool:
        if not self.events or self.place.held > self.window:
            return False
        self.events -= 1
        self.sent.append(self.name)
        return True

    def burst(self, events: int) -> None:
        self.events += events
        self.place.want()


def test_where_slots_are_free_a_turn_is_had_at_once() -> None:
    sent: list[str] = []
    turns = Turns(100)
    Sender(turns, sent, "a").burst(3)
    assert (sent, turns.free, turns.waiting) == (["a"] * 3, 97, 0)


def test_endpoints_take_turns_however_much_one_of_them_has_to_send() -> None:
    sent: list[str] = []
    turns = Turns(1)
    a, b, c = (Sender(turns, sent, name) for name in "abc")
    a.burst(1000)
    b.burst(2)
    c.burst(1)
    for _ in range(6):
        next(s for s in (a, b, c) if s.place.held).place.release()
    assert sent == ["a", "a", "b", "c", "a", "b", "a"]


def test_a_burst_delays_one_that_comes_later_by_one_turn() -> None:
    sent: list[str] = []
    turns = Turns(8, share=100)
    a, b = Sender(turns, sent, "a"), Sender(turns, sent, "b")
    a.burst(1000)
    b.burst(1)
    before = len(sent)
    a.place.release()
    a.place.release()
    assert sent[before:] == ["a", "b"], "a stood in line first, for one request"


def test_asking_again_gives_no_second_place_in_line() -> None:
    turns = Turns(1)
    sent: list[str] = []
    a, b, c = (Sender(turns, sent, name) for name in "abc")
    a.burst(1)
    for _ in range(5):
        b.burst(1)
    c.burst(1)
    a.place.release()
    b.place.release()
    assert sent == ["a", "b", "c"]


def test_one_endpoint_may_not_have_what_is_left_for_many() -> None:
    sent: list[str] = []
    turns = Turns(90)
    slow = Sender(turns, sent, "slow")
    slow.burst(1000)
    assert slow.place.held == 10, "an eighth of the 80 that are free"
    others = [Sender(turns, sent, f"{n}") for n in range(80)]
    for other in others:
        other.burst(1)
    assert (turns.free, [other.place.held for other in others]) == (0, [1] * 80)


def test_one_that_had_its_share_goes_on_when_a_request_of_its_own_has_ended() -> None:
    sent: list[str] = []
    turns = Turns(90)
    slow = Sender(turns, sent, "slow")
    slow.burst(12)
    assert turns.waiting == 0
    slow.place.release()
    assert (len(sent), slow.place.held) == (11, 10)


def test_hundreds_that_never_answer_leave_slots_to_the_others() -> None:
    turns = Turns(2000)
    dead = [Sender(turns, [], f"{n}", window=64) for n in range(100)]
    for one in dead:
        one.burst(1000)
    for _ in range(50):
        for one in dead:  # time-outs, and the next ones
            one.place.release()
    assert turns.free > 2000 / (1 + 100 / 8) - 10
    sent: list[str] = []
    Sender(turns, sent, "well").burst(8)
    assert len(sent) == 8


def test_one_that_has_left_gets_no_turn_and_its_slots_come_back() -> None:
    sent: list[str] = []
    turns = Turns(1)
    a, b, c = (Sender(turns, sent, name) for name in "abc")
    for one in (a, b, c):
        one.burst(5)
    a.place.close()
    b.place.close()
    a.place.release()
    assert (sent, turns.waiting) == (["a", "c"], 1)
    b.place.want()
    c.place.release()
    assert sent == ["a", "c", "c"]


def test_an_error_of_one_endpoint_costs_no_slot_and_no_turn_of_another() -> None:
    turns = Turns(1)

    def broken() -> bool:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        turns.place(broken).want()
    sent: list[str] = []
    Sender(turns, sent, "a").burst(1)
    assert (sent, turns.free) == (["a"], 0)


def test_an_endpoint_may_ask_while_it_is_its_turn() -> None:
    turns = Turns(100)
    calls = []

    def send() -> bool:
        calls.append(1)
        place.want()
        return len(calls) == 1

    place = turns.place(send)
    place.want()
    assert (len(calls), place.held, turns.free, turns.waiting) == (2, 1, 99, 0)


def test_requests_that_end_at_once_are_no_recursion() -> None:
    turns = Turns(4)
    left = 5000

    def send() -> bool:
        nonlocal left
        left -= 1
        place.release()
        return left > 0

    place = turns.place(send)
    with pytest.raises(AssertionError):
        place.release()
    place.want()
    assert left == 0


def test_no_slot_at_all_is_not_a_limit() -> None:
    with pytest.raises(ValueError, match="at least one request"):
        Turns(0)


@given(
    total=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), max_size=200),
    share=st.sampled_from([0.01, 0.125, 1.0]),
)
def test_no_slot_is_lost_and_nobody_waits_for_ever(total: int, steps: list[tuple[int, int]], share: float) -> None:
    turns = Turns(total, share)
    senders = [Sender(turns, [], f"{n}", window=4) for n in range(5)]
    for n, events in steps:
        if events:
            senders[n].burst(events)
        elif senders[n].place.held:
            senders[n].place.release()
        assert turns.free + sum(s.place.held for s in senders) == total
        assert not turns.waiting or turns.free == 0
    for _ in range(10_000):
        for sender in senders:
            if sender.place.held:
                sender.place.release()
                sender.place.want()  # as every endpoint does when a request has ended
    assert all(s.events == 0 and s.place.held == 0 for s in senders)
    assert turns.free == total
