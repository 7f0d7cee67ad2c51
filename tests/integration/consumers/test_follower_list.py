"""The list of who follows live, whatever the mode."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import orjson
import pytest
from support.event_stream import connected, following
from support.waiting import until
from support.websocket import ALL_CREDIT, talking

from headrace import metrics

MODES = ("sse", "websocket", "headrace.v1")
PADDING = "x" * 500


async def listed(http: aiohttp.ClientSession, url: str, **params: str) -> dict[str, Any]:
    async with http.get(f"{url}/v1/followers", params=params) as answer:
        assert answer.status == 200
        return dict(await answer.json())


@contextlib.asynccontextmanager
async def deaf(url: str, feed: str, mode: str) -> AsyncIterator[None]:
    """A client in a mode, from now on, that reads nothing."""
    async with contextlib.AsyncExitStack() as stack:
        if mode == "sse":
            await stack.enter_async_context(connected(url, feed, "now", buffer_bytes=4096))
        elif mode == "headrace.v1":
            talk = await stack.enter_async_context(talking(url, feed))
            await talk.say("subscribe", id="deaf", credit=ALL_CREDIT)
            await talk.hear("up_to_date")
        else:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            await stack.enter_async_context(http.ws_connect(f"{url}/v1/feeds/{feed}/events?offset=now"))
        yield


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_reads_nothing_is_listed_as_slow_until_it_has_gone(
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
    mode: str,
) -> None:
    feed = make_feed()
    name = "sse" if mode == "sse" else "websocket"
    slow = metrics.slow_followers.labels(feed, name)._value
    async with serve() as url:
        async with deaf(url, feed, mode):

            async def there() -> bool:
                return bool((await listed(http, url, feed=feed))["total"] == 1)

            await until(there)
            [row] = (await listed(http, url))["followers"]
            assert (row["mode"], row["state"], row["full_since"]) == (name, "front", None)
            assert row.get("subscription") == ("deaf" if mode == "headrace.v1" else None)

            async def full() -> bool:
                await asyncio.to_thread(write, feed, [orjson.dumps([n, PADDING]) for n in range(2000)])
                return bool((await listed(http, url, slow="true"))["total"])

            await until(full, 60)
            found = await listed(http, url, slow="true", feed=feed)
            [row] = found["followers"]
            assert (row["feed"], row["mode"], row["state"]) == (feed, name, "full")
            assert row["full_since"] >= row["since"]
            assert row["bytes_waiting"] == found["bytes_waiting"] > 100_000
            assert row["address"].startswith("127.0.0.1:")
            await until(lambda: slow.get() == 1)
            assert (await listed(http, url, feed="flights.enriched"))["total"] == 0
        await until(lambda: slow.get() == 0)

        async def left() -> bool:
            return bool((await listed(http, url))["total"] == 0)

        await until(left)


async def test_subscriptions_of_a_socket_are_listed_each_with_what_it_chose_and_where_it_stands(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed, other = make_feed(2), make_feed()
    write(feed, [b"1", b"2", b"3"], partition=1)
    async with serve() as url, talking(url, feed) as talk, following(url, other, "now") as stream:
        await talk.say("subscribe", id="all", offset="-1")
        await talk.say("subscribe", id="some", offset="-1", filter="data > 2", partition=1)
        await talk.say("subscribe", id="one", offset="-1", credit={"events": 1})
        await talk.say("subscribe", id="other", feed=other)
        for name in ("some", "one"):
            await talk.values(1, name)
        await talk.values(3, "all")
        await until(lambda: stream.last_id)
        rows = (await listed(http, url))["followers"]
        seen = {(row["feed"], row["mode"], row.get("subscription")): row for row in rows}
        assert set(seen) == {
            (feed, "websocket", "all"),
            (feed, "websocket", "some"),
            (feed, "websocket", "one"),
            (other, "websocket", "other"),
            (other, "sse", None),
        }
        some, one = seen[feed, "websocket", "some"], seen[feed, "websocket", "one"]
        assert (some["filter"], some["partition"], some["state"], some["lag_events"]) == ("data > 2", "1", "front", 0)
        assert (one["state"], one["lag_events"]) == ("no-credit", 2)
        assert one["address"] == some["address"] != seen[other, "sse", None]["address"]
        assert [row["subscription"] for row in (await listed(http, url, slow="true"))["followers"]] == ["one"]
        await talk.say("credit", id="one", events=10)
        await talk.values(3, "one")
        assert (await listed(http, url, slow="true"))["total"] == 0
