"""What the receiver of each subscription took of the events that were acknowledged, and when."""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

SHOWN = 5
"""Examples of each kind of fault in a message."""

LAST_WORDS_S = 0.3
"""Requests of a process that was killed may still come out of the socket for so long; no other takes over as soon."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event that was written. `number` is its place in the order of its key."""

    number: int
    id: str
    key: str
    kind: str


@dataclass(frozen=True, slots=True)
class Seek:
    """A seek that was answered: these events must come again after it was asked for."""

    asked_s: float
    again: frozenset[str]


class Deliveries:
    """Of one subscription. An event is taken when a request that holds it comes and is to be answered with 2xx."""

    def __init__(
        self, name: str, *, ordered: bool = False, wants: Callable[[Event], bool] = lambda event: True
    ) -> None:
        self.name = name
        self.ordered = ordered
        self.wants = wants
        self.taken: dict[str, list[float]] = {}
        self.attempts: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.seeks: list[Seek] = []
        self.may_repeat: set[str] = set()
        self._done: list[tuple[float, Collection[str]]] = []

    def attempted(self, ids: Collection[str]) -> None:
        """A request with these events has come; `ended` is to be called once it has its answer."""
        self.attempts.update(ids)
        self.open.update(ids)

    def take(self, ids: Collection[str]) -> None:
        """It will be answered with 2xx."""
        for event_id in ids:
            self.taken.setdefault(event_id, []).append(time.monotonic())

    def ended(self, ids: Collection[str], taken: bool) -> None:
        """A request has its answer."""
        self.open -= Counter(ids)
        if taken:
            self._done.append((time.monotonic(), ids))

    @property
    def repeats(self) -> int:
        """How often it took what it had taken before."""
        return sum(len(times) - 1 for times in self.taken.values())

    def first_after_s(self, moment_s: float) -> float | None:
        """When it first took an event after a moment."""
        return min((at for times in self.taken.values() for at in times if at > moment_s), default=None)

    def repeated_after(self, killed_s: float) -> set[str]:
        """Events that it had taken when a process was killed, and took again since."""
        last_s = killed_s + LAST_WORDS_S
        return {event_id for event_id, times in self.taken.items() if times[0] <= last_s < times[-1]}

    def done_between(self, first_s: float, last_s: float) -> set[str]:
        """Events whose requests were answered with 2xx in a time."""
        return {event_id for at_s, ids in self._done if first_s <= at_s <= last_s for event_id in ids}


def check(
    acknowledged: Mapping[str, Event], deliveries: Deliveries, dead: Mapping[str, int], *, exact: bool = True
) -> None:
    """Raise one AssertionError that tells all that is wrong. `dead` holds the attempts of each dead letter by id.

    `exact`: nothing that is not acknowledged may have come.
    """
    faults = [
        *_told("acknowledged, neither taken nor a dead letter", _lost(acknowledged, deliveries, dead)),
        *_told("taken, and not wanted", _unwanted(acknowledged, deliveries, exact)),
        *_told("not taken again after a seek", _not_again(deliveries, dead)),
        *_told("dead letters before their schedule had ended", _hasty(deliveries, dead)),
    ]
    if deliveries.ordered:
        faults += _told("out of order", _reordered(acknowledged, deliveries, dead))
    assert not faults, "\n".join([f"{deliveries.name}:", *faults])


def _lost(acknowledged: Mapping[str, Event], deliveries: Deliveries, dead: Mapping[str, int]) -> list[str]:
    return [
        f"{event} (attempts: {deliveries.attempts[event.id]})"
        for event in acknowledged.values()
        if deliveries.wants(event) and event.id not in deliveries.taken and event.id not in dead
    ]


def _unwanted(acknowledged: Mapping[str, Event], deliveries: Deliveries, exact: bool) -> list[str]:
    events = {event_id: acknowledged.get(event_id) for event_id in deliveries.taken}
    return [event_id for event_id, event in events.items() if (exact if event is None else not deliveries.wants(event))]


def _not_again(deliveries: Deliveries, dead: Mapping[str, int]) -> list[str]:
    return [
        event_id
        for seek in deliveries.seeks
        for event_id in seek.again
        if event_id not in dead and deliveries.taken.get(event_id, [0.0])[-1] < seek.asked_s
    ]


def _hasty(deliveries: Deliveries, dead: Mapping[str, int]) -> list[str]:
    return [
        f"{event_id}: {deliveries.attempts[event_id]} attempts of {attempts}"
        for event_id, attempts in dead.items()
        if deliveries.attempts[event_id] < attempts
    ]


def _reordered(acknowledged: Mapping[str, Event], deliveries: Deliveries, dead: Mapping[str, int]) -> list[str]:
    """First deliveries of each key. A dead letter lets the next go on, so it may come later or never."""
    by_key: defaultdict[str, list[tuple[float, Event]]] = defaultdict(list)
    for event_id, times in deliveries.taken.items():
        event = acknowledged.get(event_id)
        if event is not None and event_id not in dead:
            by_key[event.key].append((times[0], event))
    reordered: list[str] = []
    for found in by_key.values():
        in_time = [event for _, event in sorted(found, key=lambda one: one[0])]
        for before, after in itertools.pairwise(in_time):
            if after.number < before.number:
                reordered.append(f"{after} came after {before}")
    return reordered


def _told(what: str, found: list[str]) -> Iterator[str]:
    if found:
        more = f"\n    and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield f"  {what}: {len(found)}\n    " + "\n    ".join(found[:SHOWN]) + more
