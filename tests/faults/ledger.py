"""A ledger of event ids: what was handed over, what was acknowledged, and what every consumer saw of it."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

SHOWN = 5
"""Examples of each kind of fault in a message."""

Place = tuple[int, int]
"""Partition and offset."""

ATTRIBUTES = ("type", "source", "subject", "time", "dataerror")


@dataclass(frozen=True, slots=True)
class Produced:
    """An event as its producer handed it over. Its number is its place in the order of the source."""

    number: int
    id: str
    key: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sighting:
    """An event as a consumer saw it. `body` is its payload as canonical JSON; `at_s` is of the monotonic clock."""

    id: str
    key: str | None
    body: bytes
    place: Place
    at_s: float


@dataclass(frozen=True, slots=True)
class Account:
    """What a consumer saw, in events, and how often it saw one again."""

    events: int
    repeats: int


class Consumer:
    """One reader of a feed. Readers of one feed must have seen the same of every event."""

    def __init__(self, name: str, feed: str, bodies: dict[bytes, bytes]) -> None:
        self.name = name
        self.feed = feed
        self.sightings: list[Sighting] = []
        self.first: dict[str, Sighting] = {}
        self._bodies = bodies

    def saw(self, event: Mapping[str, Any]) -> None:
        """Note an event, given as a CloudEvent in structured JSON."""
        payload = {name: event.get(name) for name in ATTRIBUTES} | {
            "data": event["data"] if "data" in event else event.get("data_base64")
        }
        body = orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
        sighting = Sighting(
            str(event["id"]),
            event.get("partitionkey"),
            self._bodies.setdefault(body, body),
            (int(event.get("partition", -1)), int(event.get("sequence", -1))),
            time.monotonic(),
        )
        self.sightings.append(sighting)
        self.first.setdefault(sighting.id, sighting)

    @property
    def account(self) -> Account:
        """Events and repeats so far."""
        return Account(len(self.first), len(self.sightings) - len(self.first))

    def longest_gap_s(self, since_s: float) -> float:
        """The longest time after `since_s` in which nothing new came of some partition that went on later."""
        last: dict[int, float] = {}
        longest = 0.0
        for sighting in self.first.values():
            partition = sighting.place[0]
            if sighting.at_s >= since_s:
                longest = max(longest, sighting.at_s - last.get(partition, since_s))
            last[partition] = max(sighting.at_s, since_s)
        return longest


class Ledger:
    """Compares the two sides. `check` raises one AssertionError that tells all that is wrong."""

    def __init__(self) -> None:
        self.consumers: dict[str, Consumer] = {}
        self._produced: dict[str, Produced] = {}
        self._acknowledged: dict[str, list[Place]] = {}
        self._bodies: dict[bytes, bytes] = {}

    # The producer's side

    def produced(self, event_id: str, key: str | None, data: Mapping[str, Any]) -> None:
        """An event is handed over now, after all that were noted before; once however often it is sent."""
        self._produced.setdefault(event_id, Produced(len(self._produced), event_id, key, data))

    def acknowledged(self, event_id: str, place: Place | None = None) -> None:
        """A producer was told that the event is written, and where."""
        self._acknowledged.setdefault(event_id, []).extend([] if place is None else [place])

    @property
    def acknowledgements(self) -> int:
        """How many events are acknowledged."""
        return len(self._acknowledged)

    def acknowledged_after(self, count: int) -> list[str]:
        """The ids that were acknowledged after the first `count`."""
        return list(itertools.islice(self._acknowledged, count, None))

    # The consumers' side

    def consumer(self, name: str, feed: str) -> Consumer:
        """A new consumer."""
        self.consumers[name] = Consumer(name, feed, self._bodies)
        return self.consumers[name]

    def missing(self, consumer: Consumer) -> int:
        """How many acknowledged events it has not seen."""
        return sum(event_id not in consumer.first for event_id in self._acknowledged)

    # The comparison

    def check(self, log: Consumer | None = None) -> dict[str, Account]:
        """What each consumer saw; `log` is the one that read the topic whose places were told to the producer."""
        faults: list[str] = []
        if not self._acknowledged:
            faults.append("nothing was acknowledged")
        faults += self._stray_acknowledgements()
        for consumer in self.consumers.values():
            faults += self._lost(consumer)
            faults += self._invented(consumer)
            faults += self._reordered(consumer)
        for feed, consumers in self._by_feed().items():
            faults += self._altered(feed, consumers)
        if log is not None:
            faults += self._misplaced(log)
        accounts = {name: consumer.account for name, consumer in self.consumers.items()}
        assert not faults, "\n".join([*faults, f"seen: {accounts}"])
        return accounts

    def _by_feed(self) -> dict[str, list[Consumer]]:
        feeds: defaultdict[str, list[Consumer]] = defaultdict(list)
        for consumer in self.consumers.values():
            feeds[consumer.feed].append(consumer)
        return feeds

    def _stray_acknowledgements(self) -> Iterator[str]:
        yield from _told(
            "acknowledged, but never produced", [one for one in self._acknowledged if one not in self._produced]
        )

    def _lost(self, consumer: Consumer) -> Iterator[str]:
        lost = [self._named(one) for one in self._acknowledged if one not in consumer.first]
        yield from _told(f"{consumer.name}: acknowledged, but never seen", lost)

    def _invented(self, consumer: Consumer) -> Iterator[str]:
        invented = [_seen(sighting) for sighting in consumer.first.values() if sighting.id not in self._produced]
        yield from _told(f"{consumer.name}: seen, but never produced", invented)

    def _reordered(self, consumer: Consumer) -> Iterator[str]:
        """First sightings of each key against the order of the source. Events without a key have no order."""
        newest: dict[str, Produced] = {}
        reordered: list[str] = []
        for sighting in consumer.first.values():
            produced = self._produced.get(sighting.id)
            if produced is None or produced.key is None:
                continue
            before = newest.setdefault(produced.key, produced)
            if before.number > produced.number:
                reordered.append(f"{_seen(sighting)} came after {before.id} of the same key")
            else:
                newest[produced.key] = produced
        yield from _told(f"{consumer.name}: out of order", reordered)

    def _altered(self, feed: str, consumers: Sequence[Consumer]) -> Iterator[str]:
        """All sightings in a feed are alike, and they hold what the producer gave, whatever was added."""
        bodies: dict[str, Sighting] = {}
        altered: list[str] = []
        for consumer in consumers:
            for sighting in consumer.sightings:
                produced = self._produced.get(sighting.id)
                known = bodies.setdefault(sighting.id, sighting)
                if known is sighting:
                    if produced is not None and (unlike := _unlike(produced, sighting)):
                        altered.append(f"{consumer.name}: {_seen(sighting)} is not as produced: {unlike}")
                elif (known.body, known.key) != (sighting.body, sighting.key):
                    altered.append(f"{consumer.name}: {_seen(sighting)} {_changed(known, sighting)}")
        yield from _told(f"{feed}: altered", altered)

    def _misplaced(self, log: Consumer) -> Iterator[str]:
        there = {sighting.place: sighting.id for sighting in log.sightings}
        misplaced = [
            f"{event_id} was acknowledged at {place}, where {there.get(place, 'nothing')} is"
            for event_id, places in self._acknowledged.items()
            for place in places
            if there.get(place) != event_id
        ]
        yield from _told(f"{log.name}: not where it was acknowledged", misplaced)

    def _named(self, event_id: str) -> str:
        produced = self._produced.get(event_id)
        return event_id if produced is None else f"{event_id} (number {produced.number}, key {produced.key})"


def _unlike(produced: Produced, sighting: Sighting) -> str:
    data = orjson.loads(sighting.body)["data"]
    if sighting.key != produced.key:
        return f"the key is {sighting.key}, not {produced.key}"
    if not isinstance(data, dict):
        return f"the data is {data!r}"
    return "; ".join(
        f"{name} is {data.get(name)!r}, not {value!r}"
        for name, value in produced.data.items()
        if data.get(name) != value
    )


def _changed(known: Sighting, sighting: Sighting) -> str:
    """What differs between two sightings of an event."""
    was, now = ({"key": one.key, **orjson.loads(one.body)} for one in (known, sighting))
    changes = [f"{name} is {now[name]!r}, and was {was[name]!r}" for name in now if now[name] != was[name]]
    return f"differs from {known.place[0]}/{known.place[1]}: {'; '.join(changes)}"


def _seen(sighting: Sighting) -> str:
    return f"{sighting.id} (key {sighting.key}, at {sighting.place[0]}/{sighting.place[1]})"


def _told(what: str, examples: Iterable[str]) -> Iterator[str]:
    found = list(examples)
    if found:
        more = f"\n  and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield f"{what}: {len(found)}\n  " + "\n  ".join(found[:SHOWN]) + more
