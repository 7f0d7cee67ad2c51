"""Subscriptions: durable readers with a name, to which the relay pushes events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Unpack
from urllib.parse import quote

import orjson

from headrace.client.deliveries import Attempt, Trial, Undelivered, read_attempts
from headrace.client.exchange import Answer, Exchange, Request
from headrace.client.page import Page
from headrace.client.problems import FeedNotFound, SubscriptionNotFound, Unavailable, Unreachable
from headrace.client.reading import Start, time_text
from headrace.client.snapshots import Snapshots
from headrace.client.subscription import Subscription
from headrace.client.subscription_options import Changes, Mode, Options, Signing
from headrace.client.subscription_pages import acknowledge, pull_page

PATH = "/v1/subscriptions"
PAGE_SUBSCRIPTIONS = 1000
JSON_BODY = {"Content-Type": "application/json"}


class Subscriptions:
    """The subscriptions of a gateway; `Client.subscriptions`. All raise `SubscriptionNotFound`, `Unavailable`.

    What changes something in a way that must not happen twice is asked again only where nothing was sent.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    # Definitions

    async def create(
        self,
        feed: str,
        url: str | None = None,
        *,
        mode: Mode = "webhook",
        name: str | None = None,
        offset: str | None = None,
        from_time: datetime | None = None,
        signing: Signing = "hmac",
        verify: bool = False,
        **options: Unpack[Options],
    ) -> Subscription:
        """Have the events of a feed pushed to a URL, or with `mode` `pull` be there for workers.

        It begins now, or at an offset or a time.

        The answer holds the `secret` that the receiver verifies with, with `signing` `ed25519` the public key: it is
        not told again but by `reveal_secret`. With `verify` it is made only if the endpoint agrees (CloudEvents'
        webhook handshake). Raises `Conflict` where the name is taken, `BadRequest`, `FeedNotFound`.
        """
        wanted = {"feed": feed, "mode": mode, "signing": signing, **_start(offset, from_time), **options}
        if url is not None:
            wanted["url"] = url
        if name is not None:
            wanted["name"] = name
        if verify:
            wanted["verify"] = True
        request = Request("POST", PATH, headers=JSON_BODY, body=orjson.dumps(wanted), not_found=FeedNotFound)
        # Made twice, it would be two subscriptions, or a conflict with itself that loses the secret.
        return Subscription.of_answer(await self._exchange.ask(request, again_after=Unreachable))

    async def list(
        self,
        *,
        feed: str | None = None,
        state: str | None = None,
        mode: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Subscription]:
        """All subscriptions with these properties, the oldest first, without their status."""
        wanted = {"feed": feed, "state": state, "mode": mode}
        params = {name: value for name, value in wanted.items() if value is not None}
        params |= {f"label.{name}": value for name, value in (labels or {}).items()}
        params["limit"] = str(PAGE_SUBSCRIPTIONS)
        found: list[Subscription] = []
        while True:
            page = orjson.loads((await self._exchange.ask(Request("GET", PATH, params=params))).body)
            found += map(Subscription.of, page["subscriptions"])
            if "next_cursor" not in page:
                return found
            params["cursor"] = page["next_cursor"]

    async def get(self, subscription_id: str) -> Subscription:
        """One subscription and its status."""
        return Subscription.of_answer(await self._ask("GET", subscription_id))

    async def update(self, subscription_id: str, changes: Changes, *, etag: str | None = None) -> Subscription:
        """Change its `url` or options: what is left out stays, None takes a member back to its default.

        With the `etag` of the version that was read, a change that somebody else made since is not undone unseen:
        raises `PreconditionFailed`. Raises `BadRequest`.
        """
        headers = {} if etag is None else {"If-Match": etag}
        # Made twice under an etag, the second is refused by the first.
        again = Unavailable if etag is None else Unreachable
        return Subscription.of_answer(
            await self._ask("PATCH", subscription_id, body=changes, headers=headers, again_after=again)
        )

    async def delete(self, subscription_id: str) -> None:
        """End a subscription for good."""
        await self._ask("DELETE", subscription_id, again_after=Unreachable)

    async def pause(self, subscription_id: str) -> Subscription:
        """Push nothing until it is resumed; the position stays."""
        return Subscription.of_answer(await self._ask("POST", subscription_id, "/pause"))

    async def disable(self, subscription_id: str) -> Subscription:
        """The same as the relay does with an endpoint that is given up."""
        return Subscription.of_answer(await self._ask("POST", subscription_id, "/disable"))

    async def resume(self, subscription_id: str, *, from_now: bool = False) -> Subscription:
        """Go on from where it stopped, or leave out what came since."""
        body = {"from": "now" if from_now else "stopped"}
        # Moved to now twice, it would leave out what came in between.
        again = Unreachable if from_now else Unavailable
        return Subscription.of_answer(await self._ask("POST", subscription_id, "/resume", body, again_after=again))

    # Secrets

    async def rotate_secret(
        self, subscription_id: str, *, overlap_s: float | None = None, signing: Signing | None = None
    ) -> Subscription:
        """Make a new `secret`, which is in the answer; for `overlap_s` the old one signs, too.

        None is as the gateway's settings say, and as it is signed now.
        """
        wanted = {"overlap_s": overlap_s, "signing": signing}
        body = {name: value for name, value in wanted.items() if value is not None}
        answer = await self._ask("POST", subscription_id, "/secret/rotate", body, again_after=Unreachable)
        return Subscription.of_answer(answer)

    async def reveal_secret(self, subscription_id: str) -> str:
        """The secret once more, or the public key; the gateway logs that it was asked."""
        answer = await self._ask("POST", subscription_id, "/secret/reveal")
        return str(orjson.loads(answer.body)["secret"])

    # Deliveries

    async def seek(
        self,
        subscription_id: str,
        *,
        offset: str | None = None,
        from_time: datetime | None = None,
        snapshot: str | None = None,
    ) -> Subscription:
        """Move a subscription to an offset (`-1`, `now`, or a page's `next_offset`), a time, or a snapshot.

        Raises `OffsetGone` where the log has dropped what lies there.
        """
        wanted = {**_start(offset, from_time), **({} if snapshot is None else {"snapshot": snapshot})}
        return Subscription.of_answer(await self._ask("POST", subscription_id, "/seek", wanted))

    def snapshots(self, subscription_id: str) -> Snapshots:
        """Its positions that have a name."""
        return Snapshots(self._exchange, _path(subscription_id))

    async def test(self, subscription_id: str) -> Trial:
        """Have one signed event of type `headrace.test` pushed now, and see how that went."""
        answer = await self._ask("POST", subscription_id, "/test", again_after=Unreachable)
        return Trial.of(orjson.loads(answer.body))

    async def redeliver_event(self, subscription_id: str, partition: int, offset: int) -> int:
        """Push the event at an offset of a partition once more; how many those are. Its position stays."""
        return await self._redeliver(subscription_id, {"partition": partition, "offset": offset})

    async def redeliver_dead_letters(self, subscription_id: str, *, from_time: datetime | None = None) -> int:
        """Push what was given up once more, all or what became a dead letter since; how many those are."""
        since = {} if from_time is None else {"from": time_text(from_time)}
        return await self._redeliver(subscription_id, {"dead_letters": True, **since})

    async def redeliver_range(
        self,
        subscription_id: str,
        *,
        offset: str | None = None,
        from_time: datetime | None = None,
        to_time: datetime | None = None,
    ) -> int:
        """Push the events since an offset or a time once more, up to a time or to the tail; how many those are.

        Unlike `seek` it leaves the position where it is. Raises `Conflict` for too many.
        """
        end = {} if to_time is None else {"to": time_text(to_time)}
        return await self._redeliver(subscription_id, {**_start(offset, from_time), **end})

    async def _redeliver(self, subscription_id: str, wanted: Mapping[str, Any]) -> int:
        answer = await self._ask("POST", subscription_id, "/redeliver", wanted, again_after=Unreachable)
        return int(orjson.loads(answer.body)["events"])

    async def undelivered(self, subscription_id: str, *, from_time: datetime | None = None) -> Undelivered:
        """What it was not delivered, of all that is kept or since a time."""
        params = {} if from_time is None else {"from": time_text(from_time)}
        return Undelivered.of(
            orjson.loads((await self._ask("GET", subscription_id, "/undelivered", params=params)).body)
        )

    def attempts(
        self,
        subscription_id: str,
        *,
        offset: str | None = None,
        from_time: datetime | None = None,
        outcome: str | None = None,
        event_id: str | None = None,
        follow: bool = False,
        max_attempts: int | None = None,
    ) -> AsyncIterator[Attempt]:
        """Its attempts in order, from the oldest kept where neither offset nor time is given, up to the latest.

        With `follow` it goes on with each new one, however long the gateway is away. Offsets are those of the feed
        `headrace.attempts`. Raises `BadRequest`.
        """
        wanted = {"outcome": outcome, "event_id": event_id}
        filters = {name: value for name, value in wanted.items() if value is not None}
        start = Start(offset, from_time)
        path = _path(subscription_id, "/attempts")
        return read_attempts(self._exchange, path, start, filters, follow=follow, max_attempts=max_attempts)

    async def pull(self, subscription_id: str, *, limit: int | None = None) -> Page:
        """A page of what it was not delivered, from its position on: to catch up while its endpoint is down.

        Its position moves only by `ack` with the page's `next_offset`.
        """
        return await pull_page(self._exchange, _path(subscription_id), limit=limit)

    async def ack(self, subscription_id: str, offset: str) -> None:
        """Take all before an offset, the `next_offset` of a page, for delivered: pushing goes on there."""
        await acknowledge(self._exchange, _path(subscription_id), offset)

    async def _ask(
        self,
        method: str,
        subscription_id: str,
        verb: str = "",
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        again_after: type[Unavailable] = Unavailable,
    ) -> Answer:
        request = Request(
            method,
            _path(subscription_id, verb),
            params=params or {},
            headers={**(headers or {}), **({} if body is None else JSON_BODY)},
            body=None if body is None else orjson.dumps(body),
            not_found=SubscriptionNotFound,
        )
        return await self._exchange.ask(request, again_after=again_after)


def _path(subscription_id: str, verb: str = "") -> str:
    return f"{PATH}/{quote(subscription_id, safe='')}{verb}"


def _start(offset: str | None, from_time: datetime | None) -> dict[str, str]:
    start = Start(offset, from_time)
    return start.params() if offset is not None or from_time is not None else {}
