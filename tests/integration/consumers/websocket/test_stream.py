from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import orjson
import pytest
from support.waiting import until

from headrace import metrics

MakeFeed = Callable[..., str]
Serve = Callable[..., Any]
Write = Callable[..., None]


def followers(feed: str) -> float:
    return float(metrics.followers.labels(feed, "websocket")._value.get())


def numbers(first: int, beyond: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, beyond)]


@contextlib.asynccontextmanager
async def streaming(
    url: str, feed: str, query: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/v1/feeds/{feed}/events", params=query or {}, **options) as socket,
    ):
        yield socket


async def take(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    return [orjson.loads((await socket.receive(30)).data) for _ in range(count)]


async def test_history_and_then_live_a_message_for_each_event(make_feed: MakeFeed, serve: Serve, write: Write) -> None:
    feed = make_feed()
    write(feed, numbers(0, 2000))
    async with serve(ring_bytes=20_000) as url, streaming(url, feed) as socket:
        events = await take(socket, 1000)
        await asyncio.to_thread(write, feed, numbers(2000, 3000))
        events += await take(socket, 2000)
        assert [event["data"] for event in events] == list(range(3000))
        assert events[0]["specversion"] == "1.0"


@pytest.mark.parametrize("compress", [0, 15])
async def test_every_event_says_where_to_go_on(make_feed: MakeFeed, serve: Serve, write: Write, compress: int) -> None:
    feed = make_feed(3)
    for partition in range(3):
        write(feed, [orjson.dumps([n, "x" * 300]) for n in range(40)], partition=partition)
    async with serve(ring_bytes=2_000) as url:
        seen: list[tuple[int, int]] = []
        offset = "-1"
        while len(seen) < 120:
            async with streaming(url, feed, {"offset": offset}, compress=compress) as socket:
                assert bool(socket.compress) is bool(compress)
                for event in await take(socket, min(7, 120 - len(seen))):
                    seen.append((event["partition"], event["data"][0]))
                    offset = event["nextoffset"]
        assert sorted(seen) == [(partition, n) for partition in range(3) for n in range(40)]


async def test_many_get_the_same_compressed_or_not_and_leave_nothing_behind(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed(2)
    write(feed, numbers(0, 100))
    async with serve(ring_bytes=10_000) as url:
        async with contextlib.AsyncExitStack() as stack:
            sockets = []
            for index in range(60):
                compress = (0, 9, 15)[index % 3]
                sockets.append(await stack.enter_async_context(streaming(url, feed, compress=compress)))
                if index % 20 == 0:
                    await asyncio.to_thread(write, feed, numbers(100 + index * 5, 200 + index * 5))
            await until(lambda: followers(feed) == 60)
            await asyncio.to_thread(write, feed, numbers(400, 500))
            for socket in sockets:
                assert [event["data"] for event in await take(socket, 500)] == list(range(500))
        await until(lambda: followers(feed) == 0)


async def test_the_start_is_told_in_the_handshake_and_a_time_may_be_asked_for(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with serve() as url:
        async with streaming(url, feed, {"offset": "now"}) as socket:
            began = socket._response.headers["Stream-Next-Offset"]
        await asyncio.to_thread(write, feed, [b"2"])
        async with streaming(url, feed, {"offset": began}) as socket:
            assert (await take(socket, 1))[0]["data"] == 2
        async with streaming(url, feed, {"from": "2001-01-01T00:00:00Z"}) as socket:
            assert [event["data"] for event in await take(socket, 2)] == [1, 2]


async def test_the_subprotocol_of_cloudevents_is_the_same(make_feed: MakeFeed, serve: Serve, write: Write) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with serve() as url, streaming(url, feed, protocols=("other", "cloudevents.json")) as socket:
        assert socket.protocol == "cloudevents.json"
        assert (await take(socket, 1))[0]["data"] == 1


async def test_who_says_something_is_told_that_nobody_listens(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve() as url, streaming(url, feed) as socket:
        await socket.ping()
        await socket.send_str("hello")
        message = await socket.receive(5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        assert "headrace.v1" in (message.extra or "")
    await until(lambda: followers(feed) == 0)


async def test_a_quiet_connection_gets_pings(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve(heartbeat_s=0.1) as url, streaming(url, feed, autoping=False) as socket:
        assert (await socket.receive(10)).type is aiohttp.WSMsgType.PING


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"Sec-WebSocket-Version": "12"}, 426, "13"),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": "no base64 !"}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Protocol": "mqtt, stomp"}, 400, "headrace.v1"),
        ({"Connection": "keep-alive"}, 400, "Connection"),
    ],
)
async def test_a_handshake_that_is_none_is_a_problem(
    http: aiohttp.ClientSession,
    make_feed: MakeFeed,
    serve: Serve,
    change: dict[str, str],
    status: int,
    said: str,
) -> None:
    feed = make_feed()
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with serve() as url, http.get(f"{url}/v1/feeds/{feed}/events", headers={**headers, **change}) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        assert said in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("query", "status"), [({"offset": "x"}, 400), ({"live": "sse"}, 400), ({"limit": "3"}, 400), ({"from": "x"}, 400)]
)
async def test_a_query_that_means_nothing_is_refused_in_the_handshake(
    make_feed: MakeFeed, serve: Serve, query: dict[str, str], status: int
) -> None:
    feed = make_feed()
    async with serve() as url:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with streaming(url, feed, query):
                pass
        assert refused.value.status == status
