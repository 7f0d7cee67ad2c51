"""Filters over events: finding who of many wants an event. No broker and no network: the matcher alone, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import orjson

from benchmarks.figure import Figure
from headrace.consumers.filter.event import Event
from headrace.consumers.filter.expression import Filter
from headrace.consumers.filter.matcher import Matcher

EVENTS = 20_000
TAILS = 10_000
SUBSCRIBERS = 10_000
SHARED = 200
SECONDS = 3.0
TYPE = "flights.Departure"


def run(bootstrap_servers: str) -> list[Figure]:
    """Events matched a second, each read from its JSON anew; the broker is not asked."""
    ready = [_json(n) for n in range(EVENTS)]
    one = _matcher(["data.tailnum == 'N1'"])
    many = _matcher([f"data.tailnum == 'N{n}'" for n in range(TAILS)])
    shared = _matcher([f"data.distance > {10 * n}" for n in range(SHARED)] * (SUBSCRIBERS // SHARED))
    alone = _matcher([f"data.distance > {10 * (SHARED - 2)}"])
    # In turn, so that whatever else the machine does is the same for both.
    one_per_s, many_per_s = _rates([one, many], ready)
    alone_per_s, shared_per_s = _rates([alone, shared], ready)
    return [
        Figure("10,000 distinct equality filters, matched", many_per_s, "one of them", one_per_s),
        Figure("200 distinct filters of 10,000 subscribers", shared_per_s, "one filter of one", alone_per_s),
    ]


def _matcher(texts: Iterable[str]) -> Matcher[int]:
    matcher: Matcher[int] = Matcher()
    for subscriber, text in enumerate(texts):
        matcher.add(subscriber, Filter.parse(text), frozenset())
    return matcher


def _rates(matchers: list[Matcher[int]], ready: list[bytes]) -> list[float]:
    """Of each matcher the best of several turns."""
    best = [0.0] * len(matchers)
    deadline = time.perf_counter() + SECONDS * len(matchers)
    while time.perf_counter() < deadline:
        for n, matcher in enumerate(matchers):
            best[n] = max(best[n], _rate(matcher, ready[:: max(len(matcher) // 5000, 1)]))
    return best


def _rate(matcher: Matcher[int], ready: list[bytes]) -> float:
    started = time.perf_counter()
    found = sum(len(matcher.matching(Event(TYPE, reading, reading))) for reading in map(_reader, ready))
    assert found > 0
    return len(ready) / (time.perf_counter() - started)


def _reader(json: bytes) -> Callable[[], bytes]:
    return lambda: json


def _json(number: int) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"019ab3c0-0000-7000-8000-{number:012d}",
            "type": TYPE,
            "source": "/feeds/flights.departures",
            "time": "2013-01-01T10:15:00.000Z",
            "partitionkey": f"N{number % TAILS}",
            "partition": number % 6,
            "sequence": str(number).zfill(19),
            "datacontenttype": "application/json",
            "data": {
                "tailnum": f"N{number % TAILS}",
                "carrier": ("UA", "AA", "B6", "DL")[number % 4],
                "flight": number % 8000,
                "origin": ("EWR", "JFK", "LGA")[number % 3],
                "dest": ("IAH", "MIA", "BQN", "ATL", "ORD")[number % 5],
                "distance": number % 2000,
                "scheduled": "2013-01-01T10:15:00Z",
                "departed": "2013-01-01T10:17:00Z",
                "delay_min": 2,
                "cancelled": False,
            },
        }
    )
