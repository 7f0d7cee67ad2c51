"""Dead and slow endpoints among a thousand: breakers, windows and turns together, on a simulated clock."""

from __future__ import annotations

import functools
import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from headrace.consumers.relay.breaker import Breaker
from headrace.consumers.relay.outcome import verdict
from headrace.consumers.relay.turns import SHARE, Turns
from headrace.consumers.relay.window import Window

ENDPOINTS = 1000
TOTAL = 2000
EVENTS_PER_S = 2.6
"""For each endpoint: with answers after half a second, 1,300 of the 2,000 slots are in use."""

ANSWER_S = 0.5
SLOW_S = 10.0
TIMEOUT_S = 15.0
BACKLOG_PER_S = 20.0
"""Of the dead and the slow ones: always more than they get done."""

WARM_UP_S = 12.0
"""By then the slow ones hold what they get."""

RUN_S = 24.0


@dataclass
class Simulation:
    """Things that happen, in the order of their times."""

    now_s: float = 0.0
    random: random.Random = field(default_factory=lambda: random.Random(1))
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _ties: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, at_s: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_s, next(self._ties), then))

    def run(self, until_s: float) -> None:
        while self._due and self._due[0][0] <= until_s:
            self.now_s, _, then = heapq.heappop(self._due)
            then()


class SimulatedEndpoint:
    """Sends as a subscription's runner does: when breaker, window and turn let it."""

    def __init__(
        self, world: Simulation, turns: Turns, status: int | None, answer_s: float, events_per_s: float
    ) -> None:
        self.world = world
        self.events_per_s = events_per_s
        self.status = status
        self.answer_s = answer_s
        self.breaker = Breaker(random=world.random.random)
        self.window = Window(64)
        self.place = turns.place(self.send)
        if answer_s == SLOW_S:
            self.window.size = 64  # as it is after a minute of successes
        self.arrivals: deque[float] = deque()
        self.waited_s: list[float] = []
        self.took_s: list[float] = []
        world.at(world.random.expovariate(events_per_s), self.arrive)

    def arrive(self) -> None:
        self.arrivals.append(self.world.now_s)
        self.place.want()
        self.world.at(self.world.now_s + self.world.random.expovariate(self.events_per_s), self.arrive)

    def send(self) -> bool:
        now_s = self.world.now_s
        if not self.arrivals or self.place.held > self.window.size or not self.breaker.may_start(now_s):
            return False
        arrived_s = self.arrivals.popleft()
        sent = (self.breaker.started(), self.window.generation)
        took_s = self.answer_s * self.world.random.uniform(0.8, 1.2)
        self.world.at(now_s + took_s, lambda: self.end(arrived_s, now_s, sent))
        return True

    def end(self, arrived_s: float, sent_s: float, sent: tuple[int, int]) -> None:
        found = verdict(self.status, {})
        self.window.ended(sent[1], found)
        if self.breaker.ended(sent[0], found, self.world.now_s) == "closed":
            self.window.restart()
        if not found.delivered:
            self.arrivals.appendleft(arrived_s)
        elif arrived_s > WARM_UP_S:
            self.waited_s.append(sent_s - arrived_s)
            self.took_s.append(self.world.now_s - arrived_s)
        if (at_s := self.breaker.next_change(self.world.now_s)) is not None:
            self.world.at(at_s, self.place.want)
        self.place.release()
        self.place.want()


@dataclass(frozen=True)
class Found:
    """Of the endpoints that work: share delivered, 99th percentile from arrival to answer, mean wait to be sent."""

    delivered: float
    p99_s: float
    mean_wait_s: float
    slow_held: int
    dead_held: int


@functools.cache
def simulate(dead: int = 0, slow: int = 0, share: float = SHARE) -> Found:
    world, turns = Simulation(), Turns(TOTAL, share)
    working = ENDPOINTS - dead - slow
    well = [SimulatedEndpoint(world, turns, 200, ANSWER_S, EVENTS_PER_S) for _ in range(working)]
    dead_ones = [SimulatedEndpoint(world, turns, None, TIMEOUT_S, BACKLOG_PER_S) for _ in range(dead)]
    slow_ones = [SimulatedEndpoint(world, turns, 200, SLOW_S, BACKLOG_PER_S) for _ in range(slow)]
    world.run(RUN_S)
    took_s = sorted(s for endpoint in well for s in endpoint.took_s)
    waited_s = [s for endpoint in well for s in endpoint.waited_s]
    return Found(
        len(took_s) / (working * EVENTS_PER_S * (RUN_S - WARM_UP_S - ANSWER_S)),
        took_s[int(len(took_s) * 0.99)],
        math.fsum(waited_s) / len(waited_s),
        sum(endpoint.place.held for endpoint in slow_ones),
        sum(endpoint.place.held for endpoint in dead_ones),
    )


def test_dead_and_slow_endpoints_change_nothing_for_the_others() -> None:
    alone, beside = simulate(), simulate(dead=10, slow=10)
    assert beside.p99_s == pytest.approx(alone.p99_s, rel=0.1)
    assert beside.mean_wait_s < alone.mean_wait_s + 0.1 * ANSWER_S
    assert beside.delivered == pytest.approx(alone.delivered, rel=0.02)
    assert beside.slow_held > 300, "they did press for slots"
    assert beside.dead_held <= 80, "no more than their first windows"


def test_forty_slow_endpoints_get_less_each_and_change_nothing_either() -> None:
    alone, beside = simulate(), simulate(slow=40)
    assert beside.p99_s == pytest.approx(alone.p99_s, rel=0.1)
    assert beside.delivered == pytest.approx(alone.delivered, rel=0.02)


def test_it_is_the_share_of_what_is_free_that_keeps_slots_for_the_others() -> None:
    assert simulate(slow=40, share=TOTAL).delivered < 0.9 * simulate(slow=40).delivered
