"""A subscription as the gateway tells of it, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from headrace.client.exchange import Answer


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether the endpoint is sent to: `closed` (yes), `open` (no), `half_open` (a probe is under way). RFC 3339 times.

    `paused_until` is what the endpoint asked for by Retry-After.
    """

    state: str
    failing_since: str | None
    next_probe: str | None
    paused_until: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """How a subscription stands at its owner, the relay at `owner`. `delivered` and `failed` count since it has it.

    `offset` is the position up to which all is settled, `lag` the events that were not delivered yet, `parked` those
    of them that failed and wait for their retry, `in_flight` the requests under way, or the events that are leased.
    Only one that is pushed has a `breaker`. `hours_until_loss`: until the log may drop the first of them, None where
    there are none, or it drops nothing.
    """

    owner: str
    offset: str
    lag: int
    in_flight: int
    parked: int
    delivered: int
    failed: int
    last_error: str | None
    breaker: Breaker | None
    hours_until_loss: float | None
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> SubscriptionStatus:
        """The status in an answer."""
        breaker = raw["breaker"]
        members = ("state", "failing_since", "next_probe", "paused_until")
        return cls(
            owner=raw["owner"],
            offset=raw["offset"],
            lag=raw["lag"],
            in_flight=raw["in_flight"],
            parked=raw["parked"],
            delivered=raw["delivered"],
            failed=raw["failed"],
            last_error=raw["last_error"],
            breaker=None if breaker is None else Breaker(*(breaker[member] for member in members)),
            hours_until_loss=raw.get("hours_until_loss"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription; its options are in `raw`, with all else that the answer holds.

    `url` may be None where `mode` is `pull`. `reason` says why it is disabled. `secret` is there only in answers that
    make one; `status` only while a relay runs it, and `waits_for` where its feed is not there. `etag` names this
    version for `update`; a list does not tell it.
    """

    id: str
    feed: str
    url: str | None
    mode: str
    state: str
    reason: str
    ordering: str
    description: str
    labels: Mapping[str, str]
    start: str
    created: str
    updated: str
    etag: str | None
    secret: str | None = field(repr=False)
    status: SubscriptionStatus | None
    waits_for: str | None
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any], etag: str | None = None) -> Subscription:
        """The subscription in an answer."""
        status = raw.get("status")
        return cls(
            id=raw["id"],
            feed=raw["feed"],
            url=raw["url"],
            mode=raw["mode"],
            state=raw["state"],
            reason=raw["reason"],
            ordering=raw["ordering"],
            description=raw["description"],
            labels=raw["labels"],
            start=raw["start"],
            created=raw["created"],
            updated=raw["updated"],
            etag=etag,
            secret=raw.get("secret"),
            status=None if status is None else SubscriptionStatus.of(status),
            waits_for=raw.get("waits_for"),
            raw=raw,
        )

    @classmethod
    def of_answer(cls, answer: Answer) -> Subscription:
        """The subscription that an answer is about."""
        return cls.of(orjson.loads(answer.body), answer.headers.get("ETag"))
