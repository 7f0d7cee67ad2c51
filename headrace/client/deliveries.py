"""What became of the events of a subscription: attempts, what waits, what is given up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from headrace.client.exchange import Exchange, Request
from headrace.client.problems import SubscriptionNotFound
from headrace.client.reading import Start

PAGE_ATTEMPTS = 100
"""Each may hold 4 KB of an answer."""

FOLLOW_S = 1.0
"""The pause of a follower who has seen all attempts."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a test event was taken. `status` is the endpoint's answer, None where there was none; `error` says why.

    `answer` is the beginning of the answer's body.
    """

    delivered: bool
    status: int | None
    seconds: float
    error: str | None
    answer: str

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Trial:
        """The trial in an answer."""
        return cls(raw["delivered"], raw["status"], raw["seconds"], raw["error"], raw["answer"])


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to deliver an event, one of `headrace.attempts`. Times are RFC 3339.

    `outcome` is `done`, `retry`, `retry_short`, `dead_letter` or `disable`; `seconds` are those of each phase and
    `total`; `answer` is the beginning of the answer's body. `next_attempt` is None where there will be none.
    """

    event_id: str
    partition: int
    offset: int
    attempt: int
    at: str
    outcome: str
    status: int | None
    error: str | None
    seconds: Mapping[str, float]
    answer: str
    next_attempt: str | None
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Attempt:
        """The attempt in an answer."""
        return cls(
            event_id=raw["event_id"],
            partition=raw["partition"],
            offset=raw["offset"],
            attempt=raw["attempt"],
            at=raw["at"],
            outcome=raw["outcome"],
            status=raw["status"],
            error=raw["error"],
            seconds=raw["seconds"],
            answer=raw["answer"],
            next_attempt=raw["next_attempt"],
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that failed, and waits for its retry at `next_attempt`, after `attempt` attempts."""

    partition: int
    offset: int
    attempt: int
    next_attempt: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that is not tried again. `event_id` is None where the log had dropped it."""

    event_id: str | None
    partition: int
    offset: int
    reason: str
    attempts: int
    at: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """What was not delivered: the `lag` events after `offset`, those that wait, and those that were given up."""

    offset: str
    lag: int
    parked: Sequence[Parked]
    dead_letters: Sequence[DeadLetter]
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Undelivered:
        """What an answer tells."""
        parked = [Parked(p["partition"], p["offset"], p["attempt"], p["next_attempt"]) for p in raw["parked"]]
        letters = [
            DeadLetter(d["event_id"], d["partition"], d["offset"], d["reason"], d["attempts"], d["at"])
            for d in raw["dead_letters"]
        ]
        return cls(raw["offset"], raw["lag"], parked, letters, raw)


async def read_attempts(
    exchange: Exchange,
    path: str,
    start: Start,
    filters: Mapping[str, str],
    *,
    follow: bool,
    max_attempts: int | None,
) -> AsyncIterator[Attempt]:
    """Attempts in order, up to the tail, or with `follow` on and on. Raises what a read of a feed does."""
    left = math.inf if max_attempts is None else max_attempts
    patience_s = math.inf if follow else None
    while left > 0:
        params = {**start.params(), **filters, "limit": str(int(min(left, PAGE_ATTEMPTS)))}
        request = Request("GET", path, params=params, not_found=SubscriptionNotFound)
        answer = await exchange.ask(request, patience_s=patience_s)
        page = orjson.loads(answer.body)
        for raw in page["attempts"]:
            yield Attempt.of(raw)
        left -= len(page["attempts"])
        at_tail = answer.headers.get("Stream-Up-To-Date") == "true" or page["next_offset"] == start.offset
        if at_tail:
            if not follow:
                return
            await asyncio.sleep(FOLLOW_S)
        start = Start(page["next_offset"])
