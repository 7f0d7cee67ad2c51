"""`headrace pull --subscription`, and the snapshots of `headrace subscriptions`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import orjson
from integration.cli.conftest import headrace, line, running, stop
from integration.client.conftest import FeedFactory, Gateway, RelayFactory, taken_up

from headrace.client import Client


def numbers(out: bytes) -> list[int]:
    return [orjson.loads(one)["data"]["n"] for one in out.splitlines()]


@contextlib.asynccontextmanager
async def subscribed(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> AsyncIterator[tuple[str, Client, str, str]]:
    """A gateway, a client of it, a feed with ten events, and a pull subscription that has had none of them."""
    feed = new_feed()
    async with relay(), gateway() as url, Client(url) as client:
        made = await client.subscriptions.create(feed, mode="pull", name=f"{feed}-pull", offset="-1")
        await taken_up(client, made.id)
        await client.publish(feed, [{"n": n} for n in range(10)])
        yield url, client, feed, made.id


async def test_what_was_printed_is_acknowledged_and_does_not_come_again(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    async with subscribed(gateway, relay, new_feed) as (url, client, feed, name):
        first = await headrace(url, "pull", "--subscription", name, "--limit", "4")
        assert (first.status, first.err, numbers(first.out)) == (0, "", [0, 1, 2, 3])
        rest = await headrace(url, "pull", "--subscription", name)
        assert numbers(rest.out) == [4, 5, 6, 7, 8, 9]
        assert (await headrace(url, "pull", "--subscription", name)).out == b""
        async with running(url, "pull", "--subscription", name, "--follow") as process:
            for n in (10, 11):
                await client.publish(feed, [{"n": n}])
                assert numbers((await line(process.stdout)).encode()) == [n]
            done = await stop(process)
        assert (done.status, done.err, done.out) == (0, "", b"")
        # The last page may not have been acknowledged when it was stopped; the one before was.
        again = [event.data["n"] async for page in client.subscription(name).read() for event in page.events]
        assert again in ([], [11])


async def test_a_reader_that_ends_in_the_middle_gets_its_last_page_again(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    async with subscribed(gateway, relay, new_feed) as (_, client, _, name):
        subscription = client.subscription(name)
        async for page in subscription.read(page_events=3):
            if page.events[0].data["n"] == 3:
                break
        pages = [[event.data["n"] for event in page.events] async for page in subscription.read(page_events=3)]
        assert pages == [[3, 4, 5], [6, 7, 8], [9]]
        assert [page async for page in subscription.read()] == []


async def test_a_snapshot_is_made_listed_gone_back_to_and_deleted(
    gateway: Gateway, relay: RelayFactory, new_feed: FeedFactory
) -> None:
    async with subscribed(gateway, relay, new_feed) as (url, client, _, name):
        await headrace(url, "pull", "--subscription", name, "--limit", "4")
        made = await headrace(url, "subscriptions", "snapshot", name, "four")
        assert (made.status, made.out) == (0, b"")
        assert made.err.startswith("four is ")
        await headrace(url, "pull", "--subscription", name)
        saved = await client.subscriptions.snapshots(name).save("all")
        listed = await headrace(url, "subscriptions", "snapshots", name)
        rows = [orjson.loads(one) for one in listed.out.splitlines()]
        assert [row["name"] for row in rows] == ["all", "four"]
        assert rows[0] == {"name": "all", "offset": saved.offset, "at": saved.at}
        assert await client.subscriptions.snapshots(name).get("all") == saved
        assert (await headrace(url, "subscriptions", "seek", name, "--snapshot", "four")).status == 0
        assert numbers((await headrace(url, "pull", "--subscription", name)).out) == [4, 5, 6, 7, 8, 9]
        assert (await headrace(url, "subscriptions", "delete-snapshot", name, "four")).err == "four is deleted.\n"
        for gone in (("seek", name, "--snapshot", "four"), ("delete-snapshot", name, "four")):
            done = await headrace(url, "subscriptions", *gone)
            assert done.status == 1
            assert "four" in done.err
        assert [one.name for one in await client.subscriptions.snapshots(name).list()] == ["all"]


async def test_options_that_do_not_go_together_are_told() -> None:
    wrong = [
        (("pull",), "--subscription"),
        (("pull", "flights", "--subscription", "a"), "FEED"),
        (("pull", "--subscription", "a", "--from", "-1"), "--from"),
        (("pull", "--subscription", "a", "--filter", "true"), "--filter"),
        (("pull", "flights", "--transport", "sse"), "--follow"),
        (("pull", "flights", "--follow", "--slow", "conflate"), "--transport sse"),
        (("subscriptions", "seek", "a"), "--snapshot"),
        (("subscriptions", "seek", "a", "--from", "now", "--snapshot", "b"), "--snapshot"),
    ]
    for arguments, said in wrong:
        done = await headrace("http://127.0.0.1:9", *arguments)
        assert done.status == 2, arguments
        assert said in done.err


async def test_an_unknown_subscription_is_told(gateway: Gateway, new_feed: FeedFactory) -> None:
    new_feed()
    async with gateway() as url:
        done = await headrace(url, "pull", "--subscription", "nobody")
    assert done.status == 1
    assert "nobody" in done.err
    assert "Traceback" not in done.err
