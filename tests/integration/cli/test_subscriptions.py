from __future__ import annotations

from typing import Any

import orjson
from integration.cli.conftest import Done, headrace
from integration.client.conftest import FeedFactory, Gateway, RelayFactory, taken_up
from support.waiting import until

from headrace.cli.receiver import Arrival, Receiver
from headrace.client import Client


def lines(done: Done) -> list[dict[str, Any]]:
    assert done.status == 0, done.err
    return [orjson.loads(one) for one in done.out.splitlines()]


async def test_a_subscription_is_made_looked_at_moved_and_deleted(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    arrivals: list[Arrival] = []
    receiver = Receiver(arrivals.append)
    async with relay(), gateway() as url, Client(url) as client, receiver.listening("127.0.0.1", 0) as port:
        written = await client.publish(feed, [{"n": n} for n in range(3)])
        hook, name = f"http://127.0.0.1:{port}/", f"{feed}-cli"
        made = await headrace(
            url, "subscribe", feed, hook, "--name", name, "--ordering", "key", "--description", "a note"
        )
        [shown] = lines(made)
        assert (shown["id"], shown["feed"], shown["url"], shown["ordering"]) == (name, feed, hook, "key")
        assert f"headrace subscriptions test {name}" in made.err
        receiver.trust(shown["secret"])

        await taken_up(client, name)
        listed = lines(await headrace(url, "subscriptions"))
        assert [one["description"] for one in listed if one["id"] == name] == ["a note"]
        assert "secret" not in listed[0]
        assert lines(await headrace(url, "subscriptions", "list")) == listed
        tested = await headrace(url, "subscriptions", "test", name)
        assert (tested.status, tested.err[:23]) == (0, "Delivered: answered 204")
        assert [a.event["type"] for a in arrivals if a.event is not None] == ["headrace.test"]
        [moved] = lines(await headrace(url, "subscriptions", "seek", name, "--from", "-1"))
        assert moved["status"]["epoch"] > 0
        await until(lambda: [a.webhook_id for a in arrivals[1:]] == [w.id for w in written])
        assert (await headrace(url, "subscriptions", "pause", name)).err == f"{name} is paused.\n"
        assert (await headrace(url, "subscriptions", "resume", name)).err == f"{name} is active.\n"
        assert lines(await headrace(url, "subscriptions", "show", name))[0]["state"] == "active"
        assert (await headrace(url, "subscriptions", "delete", name)).err == f"{name} is deleted.\n"
        gone = await headrace(url, "subscriptions", "show", name)
    assert gone.status == 1
    assert gone.err.startswith(f"No subscription is called {name}")


async def test_what_is_wrong_is_told_in_a_line(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    async with gateway() as url:
        bad_url = await headrace(url, "subscribe", feed, "mailto:me")
        bad_name = await headrace(url, "subscribe", feed, "http://127.0.0.1:9/", "--name", "no spaces")
        no_feed = await headrace(url, "subscribe", "no-such-feed", "http://127.0.0.1:9/")
        no_start = await headrace(url, "subscriptions", "seek", "sub")
    assert [done.status for done in (bad_url, bad_name, no_feed, no_start)] == [1, 1, 1, 2]
    assert bad_url.err.startswith("url: the URL must begin with http:// or https://")
    assert "  /name " in bad_name.err
    assert feed in no_feed.err
    assert "--from" in no_start.err
    assert bad_url.out == bad_name.out == no_feed.out == b""
