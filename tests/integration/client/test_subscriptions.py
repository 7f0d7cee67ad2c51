from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from integration.client.conftest import FeedFactory, Gateway, RelayFactory, taken_up
from support.waiting import until

from headrace.cli.receiver import Arrival, Receiver
from headrace.client import BadRequest, Client, Conflict, FeedNotFound, SubscriptionNotFound, Unavailable


@contextlib.asynccontextmanager
async def endpoint() -> AsyncIterator[tuple[str, Receiver, list[Arrival]]]:
    arrivals: list[Arrival] = []
    receiver = Receiver(arrivals.append)
    async with receiver.listening("127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}/hook", receiver, arrivals


def ids(arrivals: list[Arrival]) -> list[str]:
    return [arrival.webhook_id for arrival in arrivals]


async def test_a_subscription_is_made_moved_paused_and_deleted(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client, endpoint() as (hook, receiver, arrivals):
        early = await client.publish(feed, [{"n": n} for n in range(3)])
        made = await client.subscriptions.create(feed, hook, name=f"{feed}-push", description="for a test")
        assert made.secret is not None
        receiver.trust(made.secret)

        await taken_up(client, made.id)
        late = await client.publish(feed, [{"n": 3}])
        await until(lambda: ids(arrivals) == [w.id for w in late])
        assert receiver.counts.refused == 0
        attempt = await client.subscriptions.test(made.id)
        assert (attempt.delivered, attempt.status, attempt.error) == (True, 204, None)
        await until(lambda: arrivals[-1].event is not None and arrivals[-1].event["type"] == "headrace.test")

        arrivals.clear()
        moved = await client.subscriptions.seek(made.id, offset="-1")
        assert moved.status is not None
        await until(lambda: len(arrivals) == 4)
        assert sorted(ids(arrivals)) == sorted(w.id for w in [*early, *late])

        assert (await client.subscriptions.pause(made.id)).state == "paused"
        await taken_up(client, made.id)
        more = await client.publish(feed, [{"n": 4}])
        assert (await client.subscriptions.get(made.id)).state == "paused"
        assert (await client.subscriptions.resume(made.id)).state == "active"
        await until(lambda: more[0].id in ids(arrivals))

        assert made.id in [one.id for one in await client.subscriptions.list()]
        assert all(one.secret is None for one in await client.subscriptions.list())
        await client.subscriptions.delete(made.id)
        with pytest.raises(SubscriptionNotFound):
            await client.subscriptions.get(made.id)


async def test_what_is_wrong_with_a_subscription_is_a_typed_error(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    hook = "http://127.0.0.1:9/"
    async with gateway() as url, Client(url, patience_s=0) as client:
        made = await client.subscriptions.create(feed, hook, ordering="key", offset="-1")
        assert (made.ordering, made.feed, made.url, made.mode, made.state) == ("key", feed, hook, "webhook", "active")
        with pytest.raises(Conflict):
            await client.subscriptions.create(feed, hook, name=made.id)
        with pytest.raises(FeedNotFound):
            await client.subscriptions.create("no-such-feed", hook)
        with pytest.raises(BadRequest, match="http") as bad_url:
            await client.subscriptions.create(feed, "mailto:me")
        assert bad_url.value.errors == [{"pointer": "/url"}]
        with pytest.raises(BadRequest, match="offset"):
            await client.subscriptions.create(feed, hook, offset="rubbish")
        with pytest.raises(BadRequest) as bad_name:
            await client.subscriptions.create(feed, hook, name="no spaces")
        assert bad_name.value.errors[0]["pointer"] == "/name"
        with pytest.raises(SubscriptionNotFound):
            await client.subscriptions.pause("no/such")
        # No relay runs: what only an owner can do is not to be had, what is known is.
        with pytest.raises(Unavailable, match="relay"):
            await client.subscriptions.test(made.id)
        assert (await client.subscriptions.get(made.id)).status is None
        await client.subscriptions.delete(made.id)
