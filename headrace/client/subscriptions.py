"""Subscriptions: durable readers with a name, to which the relay pushes events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import orjson

from headrace.client.exchange import Answer, Exchange, Request
from headrace.client.problems import FeedNotFound, SubscriptionNotFound, Unreachable
from headrace.client.reading import Start

PATH = "/v1/subscriptions"
JSON_BODY = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """How a subscription stands at its owner, the relay at `owner`. `delivered` and `failed` count since it has it.

    `offset` is the position up to which all is settled, `lag` the events that were not delivered yet, `parked` those
    of them that failed and wait for their retry.
    """

    owner: str
    offset: str
    lag: int
    in_flight: int
    parked: int
    delivered: int
    failed: int
    last_error: str | None
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription. `secret` is there only in the answer that creates it; `status` only while a relay runs it."""

    id: str
    feed: str
    url: str
    mode: str
    ordering: str
    state: str
    description: str
    start: str
    created: str
    secret: str | None
    status: SubscriptionStatus | None
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one delivery went. `status` is the endpoint's answer, None where there was none; then `error` says why."""

    delivered: bool
    status: int | None
    seconds: float
    error: str | None


class Subscriptions:
    """The subscriptions of a gateway; `Client.subscriptions`. All raise `SubscriptionNotFound`, `Unavailable`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def create(
        self,
        feed: str,
        url: str,
        *,
        name: str | None = None,
        offset: str | None = None,
        from_time: datetime | None = None,
        ordering: Literal["none", "key"] = "none",
        description: str = "",
    ) -> Subscription:
        """Have the events of a feed pushed to a URL, from now on or from an offset or a time.

        The answer holds the `secret` that signs the pushes: it is not told again. With `ordering` `key` an event waits
        while an earlier one of its key has not been taken. Raises `Conflict` where the name is taken, `BadRequest`,
        `FeedNotFound`.
        """
        wanted = {
            "feed": feed,
            "url": url,
            "ordering": ordering,
            "description": description,
            **_start(offset, from_time),
        }
        if name is not None:
            wanted["name"] = name
        request = Request("POST", PATH, headers=JSON_BODY, body=orjson.dumps(wanted), not_found=FeedNotFound)
        # Made twice, it would be two subscriptions, or a conflict with itself that loses the secret.
        return _subscription(await self._exchange.ask(request, again_after=Unreachable))

    async def list(self) -> list[Subscription]:
        """All subscriptions, the oldest first, without their status."""
        answer = await self._exchange.ask(Request("GET", PATH))
        return [_of(raw) for raw in orjson.loads(answer.body)["subscriptions"]]

    async def get(self, subscription_id: str) -> Subscription:
        """One subscription and its status."""
        return _subscription(await self._exchange.ask(_request("GET", subscription_id)))

    async def delete(self, subscription_id: str) -> None:
        """End a subscription for good."""
        await self._exchange.ask(_request("DELETE", subscription_id), again_after=Unreachable)

    async def pause(self, subscription_id: str) -> Subscription:
        """Push nothing until it is resumed; the position stays."""
        return _subscription(await self._exchange.ask(_request("POST", subscription_id, "/pause")))

    async def resume(self, subscription_id: str) -> Subscription:
        """Go on from where it was paused."""
        return _subscription(await self._exchange.ask(_request("POST", subscription_id, "/resume")))

    async def seek(
        self, subscription_id: str, *, offset: str | None = None, from_time: datetime | None = None
    ) -> Subscription:
        """Move a subscription to an offset (`-1`, `now`, or a page's `next_offset`) or a time."""
        body = orjson.dumps(_start(offset, from_time))
        return _subscription(await self._exchange.ask(_request("POST", subscription_id, "/seek", body)))

    async def test(self, subscription_id: str) -> Attempt:
        """Have one signed event of type `headrace.test` pushed now, and see how that went."""
        answer = await self._exchange.ask(_request("POST", subscription_id, "/test"), again_after=Unreachable)
        raw = orjson.loads(answer.body)
        return Attempt(raw["delivered"], raw["status"], raw["seconds"], raw["error"])


def _request(method: str, subscription_id: str, verb: str = "", body: bytes | None = None) -> Request:
    path = f"{PATH}/{quote(subscription_id, safe='')}{verb}"
    headers = {} if body is None else JSON_BODY
    return Request(method, path, headers=headers, body=body, not_found=SubscriptionNotFound)


def _start(offset: str | None, from_time: datetime | None) -> dict[str, str]:
    start = Start(offset, from_time)
    return start.params() if offset is not None or from_time is not None else {}


def _subscription(answer: Answer) -> Subscription:
    return _of(orjson.loads(answer.body))


def _of(raw: Mapping[str, Any]) -> Subscription:
    status = raw.get("status")
    return Subscription(
        id=raw["id"],
        feed=raw["feed"],
        url=raw["url"],
        mode=raw["mode"],
        ordering=raw["ordering"],
        state=raw["state"],
        description=raw["description"],
        start=raw["start"],
        created=raw["created"],
        secret=raw.get("secret"),
        status=None if status is None else _status(status),
        raw=raw,
    )


def _status(raw: Mapping[str, Any]) -> SubscriptionStatus:
    return SubscriptionStatus(
        owner=raw["owner"],
        offset=raw["offset"],
        lag=raw["lag"],
        in_flight=raw["in_flight"],
        parked=raw["parked"],
        delivered=raw["delivered"],
        failed=raw["failed"],
        last_error=raw["last_error"],
        raw=raw,
    )
