from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
from confluent_kafka.admin import AdminClient
from integration.consumers.websocket.test_publish import event
from integration.consumers.websocket.test_stream import followers, streaming, take
from support.waiting import until
from support.websocket import talking

MakeFeed = Callable[..., str]
Serve = Callable[..., Any]
Write = Callable[..., None]

RESUME = 4000
GONE = 4410


async def closing(socket: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
    message = await socket.receive(30)
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return message.data, message.extra or ""


async def test_a_long_connection_is_closed_on_schedule_with_the_last_position(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with serve(live_s=5.0) as url:
        async with talking(url, feed) as talk, streaming(url, feed) as socket:
            await talk.say("subscribe", id="a", offset="-1")
            last = (await talk.hear("events"))["offset"]
            assert (await take(socket, 1))[0]["nextoffset"] == last
            told = await talk.hear("closing")
            assert told["code"] == RESUME
            assert told["subscriptions"] == [{"id": "a", "feed": feed, "offset": last}]
            assert await talk.closed() == RESUME
            assert await closing(socket) == (RESUME, last)
        await until(lambda: followers(feed) == 0)
        write(feed, [b"2"])
        async with streaming(url, feed, {"offset": last}) as socket:
            assert (await take(socket, 1))[0]["data"] == 2


async def test_the_client_may_close_and_is_answered(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve() as url, talking(url, feed) as talk, streaming(url, feed) as socket:
        await talk.say("subscribe", id="a")
        await talk.hear("up_to_date")
        await until(lambda: followers(feed) == 2)
        assert await talk.socket.close(code=1000)
        assert await socket.close(code=4321)
        assert (talk.socket.close_code, socket.close_code) == (1000, 4321)
        await until(lambda: followers(feed) == 0)


async def test_a_drain_closes_all_with_1001_and_where_they_stood(
    make_feed: MakeFeed, gateway: Serve, write: Write
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with contextlib.AsyncExitStack() as stack:
        async with gateway() as url:
            talk = await stack.enter_async_context(talking(url, feed))
            stream = await stack.enter_async_context(streaming(url, feed))
            # One that never reads, and does not answer the close either.
            await stack.enter_async_context(talking(url, feed))
            await talk.say("subscribe", id="a", offset="-1")
            last = (await talk.hear("events"))["offset"]
            await take(stream, 1)
            reading = asyncio.gather(closing(stream), talk.closed())
            await talk.say("publish", id="p", events=[event("e", "published while it drains")])
            started_s = time.monotonic()
        assert time.monotonic() - started_s < 5
        (code, reason), talk_code = await reading
        assert (code, talk_code) == (1001, 1001)
        told = next(frame for frame in talk.frames if frame["type"] == "closing")
        assert told["subscriptions"][0]["offset"] >= last
        assert reason >= last


async def test_a_topic_that_is_deleted_closes_its_streams_with_4410(
    kafka: str, make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with serve() as url, streaming(url, feed) as socket:
        last = (await take(socket, 1))[0]["nextoffset"]
        admin = AdminClient({"bootstrap.servers": kafka})
        admin.delete_topics([feed])[feed].result()
        assert await closing(socket) == (GONE, last)


async def test_streams_that_stall_and_go_on_see_every_event_once(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed()
    total, padding = 3000, "x" * 2000

    async def read(url: str, index: int) -> list[int]:
        seen: list[int] = []
        async with streaming(url, feed) as socket:
            while len(seen) < total:
                seen += [event["data"][0] for event in await take(socket, min(100, total - len(seen)))]
                if len(seen) % (200 * (index + 1)) == 0:
                    await asyncio.sleep(0.05 * index)
        return seen

    async with serve(ring_bytes=200_000, flush_s=0.001) as url:
        reads = [asyncio.ensure_future(read(url, index)) for index in range(8)]
        for start in range(0, total, 50):
            await asyncio.to_thread(write, feed, [orjson.dumps([n, padding]) for n in range(start, start + 50)])
        async with asyncio.timeout(60):
            for seen in await asyncio.gather(*reads):
                assert seen == list(range(total))
        await until(lambda: followers(feed) == 0)
