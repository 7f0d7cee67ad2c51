from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from integration.client.conftest import FeedFactory, Gateway, RelayFactory, taken_up
from support.receiver import receiver, status
from support.waiting import until

from headrace.cli.receiver import Arrival, Receiver
from headrace.client import (
    BadRequest,
    Client,
    Conflict,
    FeedNotFound,
    PreconditionFailed,
    SubscriptionNotFound,
    Unavailable,
)
from headrace.signing import verify


@contextlib.asynccontextmanager
async def endpoint() -> AsyncIterator[tuple[str, Receiver, list[Arrival]]]:
    arrivals: list[Arrival] = []
    listener = Receiver(arrivals.append)
    async with listener.listening("127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}/hook", listener, arrivals


def ids(arrivals: list[Arrival]) -> list[str]:
    return [arrival.webhook_id for arrival in arrivals]


async def test_a_subscription_is_made_moved_paused_and_deleted(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client, endpoint() as (hook, listener, arrivals):
        early = await client.publish(feed, [{"n": n} for n in range(3)])
        made = await client.subscriptions.create(feed, hook, name=f"{feed}-push", description="for a test")
        assert made.secret is not None
        listener.trust(made.secret)

        await taken_up(client, made.id)
        late = await client.publish(feed, [{"n": 3}])
        await until(lambda: ids(arrivals) == [w.id for w in late])
        assert listener.counts.refused == 0
        trial = await client.subscriptions.test(made.id)
        assert (trial.delivered, trial.status, trial.error, trial.answer) == (True, 204, None, "")
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
    async with gateway(owner_wait_s=0.5) as url, Client(url, patience_s=0) as client:
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


async def test_all_that_can_be_chosen_is_kept_and_changed_and_taken_back(
    gateway: Gateway, new_feed: FeedFactory
) -> None:
    feed, hook = new_feed(), "http://127.0.0.1:9/"
    async with gateway() as url, Client(url) as client:
        made = await client.subscriptions.create(
            feed,
            hook,
            labels={"team": "ops", "of": feed},
            types=["flight"],
            filter="data.n > 1",
            projection={"number": "data.n"},
            ordering="key",
            max_in_flight=3,
            rate_limit_per_s=2.5,
            batch={"max_events": 10, "max_wait_ms": 100},
            content_mode="data",
            retry_s=[1, 2, 3],
            failures_to_open=7,
            disable_after_s=3600,
            auth={"type": "basic", "username": "me", "password": "hidden"},
            headers={"X-Key": "hidden"},
            signing="ed25519",
        )
        assert (made.secret or "").startswith("whpk_")
        shown = await client.subscriptions.get(made.id)
        assert shown.etag == made.etag
        assert {**shown.raw, "secret": made.secret} == {**made.raw, "status": None}
        assert (shown.raw["retry_s"], shown.raw["batch"]) == ([1, 2, 3], {"max_events": 10, "max_wait_ms": 100})
        assert (shown.raw["projection"], shown.raw["content_mode"]) == ({"number": "data.n"}, "data")
        assert (shown.raw["auth"], shown.raw["headers"]) == ({"type": "basic", "username": "me"}, ["x-key"])
        changed = await client.subscriptions.update(
            made.id, {"rate_limit_per_s": None, "labels": {"team": None}, "auth": None, "url": f"{hook}new"}
        )
        assert (changed.labels, changed.url) == ({"of": feed}, f"{hook}new")
        assert (changed.raw["rate_limit_per_s"], changed.raw["auth"], changed.raw["max_in_flight"]) == (None, None, 3)
        assert changed.etag != made.etag
        with pytest.raises(PreconditionFailed):
            await client.subscriptions.update(made.id, {"filter": None}, etag=made.etag)
        assert (await client.subscriptions.update(made.id, {"filter": None}, etag=changed.etag)).raw["filter"] is None
        with pytest.raises(BadRequest) as no_filter:
            await client.subscriptions.update(made.id, {"filter": "data.n >"})
        assert no_filter.value.errors[0]["pointer"] == "/filter"
        await client.subscriptions.delete(made.id)


async def test_a_list_holds_what_it_is_asked_for(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed, hook = new_feed(), "http://127.0.0.1:9/"
    async with gateway() as url, Client(url) as client:
        subscriptions = client.subscriptions
        ops = await subscriptions.create(feed, hook, labels={"team": "ops"})
        dev = await subscriptions.create(feed, hook, labels={"team": "dev"})
        assert (await subscriptions.disable(dev.id)).state == "disabled"
        assert [one.id for one in await subscriptions.list(feed=feed)] == [ops.id, dev.id]
        assert [one.id for one in await subscriptions.list(feed=feed, labels={"team": "dev"})] == [dev.id]
        assert [one.id for one in await subscriptions.list(feed=feed, state="active", mode="webhook")] == [ops.id]
        assert await subscriptions.list(feed=feed, mode="pull") == []
        for one in (ops, dev):
            await subscriptions.delete(one.id)


async def test_a_secret_is_rotated_with_an_overlap_and_revealed(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client, receiver() as endpoint:
        made = await client.subscriptions.create(feed, endpoint.url)
        rotated = await client.subscriptions.rotate_secret(made.id, overlap_s=3600)
        assert rotated.secret != made.secret
        assert await client.subscriptions.reveal_secret(made.id) == rotated.secret
        await taken_up(client, made.id)
        assert (await client.subscriptions.test(made.id)).delivered
        headers, body = endpoint.deliveries[-1].headers, endpoint.deliveries[-1].body
        for secret in (made.secret, rotated.secret):
            verify(
                secret or "", headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"], body
            )
        await client.subscriptions.delete(made.id)


async def test_an_endpoint_that_fails_is_seen_in_the_status_and_left_behind_on_demand(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client, receiver() as endpoint:
        endpoint.answer = status(500, body=b"out of order")
        made = await client.subscriptions.create(feed, endpoint.url, offset="-1", failures_to_open=1)
        await client.publish(feed, [{"n": n} for n in range(3)])
        await taken_up(client, made.id)
        trial = await client.subscriptions.test(made.id)
        assert (trial.delivered, trial.status, trial.answer) == (False, 500, "out of order")

        async def opened() -> bool:
            found = (await client.subscriptions.get(made.id)).status
            breaker = None if found is None else found.breaker
            return breaker is not None and breaker.state != "closed" and breaker.failing_since is not None

        await until(opened)
        await client.subscriptions.disable(made.id)
        endpoint.answer = status(204)
        endpoint.deliveries.clear()
        await taken_up(client, made.id)
        resumed = await client.subscriptions.resume(made.id, from_now=True)
        assert resumed.state == "active"
        await taken_up(client, made.id)
        [late] = await client.publish(feed, [{"n": 3}])
        await until(lambda: late.id in endpoint.ids)
        assert endpoint.ids == [late.id]
        await client.subscriptions.delete(made.id)


async def test_what_was_given_up_is_told_delivered_once_more_and_each_attempt_is_there(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client, receiver() as endpoint:
        subscriptions = client.subscriptions
        endpoint.answer = status(422, body=b"no such flight")
        made = await subscriptions.create(feed, endpoint.url, offset="-1", retry_s=[0.05])
        await taken_up(client, made.id)
        [event] = await client.publish(feed, [{"n": 1}])

        async def given_up() -> bool:
            return len((await subscriptions.undelivered(made.id)).dead_letters) == 1

        await until(given_up)
        found = await subscriptions.undelivered(made.id)
        [letter] = found.dead_letters
        assert (letter.event_id, letter.partition, letter.offset, letter.attempts) == (event.id, 0, event.offset, 2)
        assert (found.lag, list(found.parked)) == (0, [])
        assert not (await subscriptions.undelivered(made.id, from_time=datetime.now(UTC))).dead_letters

        attempts = [a async for a in subscriptions.attempts(made.id)]
        assert [(a.event_id, a.attempt, a.outcome, a.status) for a in attempts] == [
            (event.id, 1, "retry_short", 422),
            (event.id, 2, "dead_letter", 422),
        ]
        assert attempts[0].answer == "no such flight"
        assert [a.attempt async for a in subscriptions.attempts(made.id, outcome="dead_letter")] == [2]
        assert [a async for a in subscriptions.attempts(made.id, event_id="another")] == []

        endpoint.answer = status(204)
        endpoint.deliveries.clear()
        assert await subscriptions.redeliver_dead_letters(made.id) == 1
        await until(lambda: endpoint.ids == [event.id])
        assert await subscriptions.redeliver_event(made.id, 0, event.offset) == 1
        await until(lambda: endpoint.ids == [event.id] * 2)
        assert await subscriptions.redeliver_range(made.id, offset="-1") == 1
        await until(lambda: endpoint.ids == [event.id] * 3)
        following = subscriptions.attempts(made.id, follow=True, outcome="done", max_attempts=3)
        assert [a.status async for a in following] == [204] * 3
        with pytest.raises(BadRequest):
            await subscriptions.redeliver_range(made.id)
        await subscriptions.delete(made.id)


async def test_a_subscription_is_caught_up_by_pull_and_pushing_goes_on_after_what_was_pulled(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client, receiver() as endpoint:
        subscriptions = client.subscriptions
        made = await subscriptions.create(feed, endpoint.url, offset="-1")
        await subscriptions.pause(made.id)
        await taken_up(client, made.id)
        written = await client.publish(feed, [{"n": n} for n in range(5)])
        page = await subscriptions.pull(made.id, limit=3)
        assert [event.data for event in page.events] == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert len(await subscriptions.pull(made.id)) == 5
        await subscriptions.ack(made.id, page.next_offset)
        assert [event.data["n"] for event in (await subscriptions.pull(made.id)).events] == [3, 4]
        await subscriptions.resume(made.id)
        await until(lambda: sorted(endpoint.ids) == sorted(one.id for one in written[3:]))
        await subscriptions.delete(made.id)
