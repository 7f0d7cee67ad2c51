from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
from support.event_stream import Stream, connected, following
from support.waiting import until

from headrace import metrics
from headrace.consumers.core.record import Record
from headrace.consumers.fan_out import FanOut


def followers(feed: str) -> float:
    return float(metrics.followers.labels(feed, "sse")._value.get())


def numbers(first: int, beyond: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, beyond)]


async def test_history_and_then_live_without_gap_or_repeat(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, numbers(0, 3000))
    async with serve(ring_bytes=20_000) as url, following(url, feed) as stream:
        for start in range(3000, 6000, 100):
            await asyncio.to_thread(write, feed, numbers(start, start + 100))
        await until(lambda: len(stream.values) >= 6000)
        assert stream.values == list(range(6000))
        assert stream.controls[-1]["upToDate"] is True
        assert stream.last_id == stream.controls[-1]["streamNextOffset"]
        assert b"text/event-stream" in stream.head
        assert b"Cache-Control: no-cache, no-store" in stream.head


async def test_the_last_event_id_resumes_exactly(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    async with serve(ring_bytes=5_000) as url:
        seen: list[Any] = []
        last_id = ""
        for turn in range(6):
            async with following(url, feed, last_id=last_id) as stream:
                await asyncio.to_thread(write, feed, numbers(turn * 100, turn * 100 + 50))
                wanted = turn * 100 + 50 - len(seen)
                await until(lambda stream=stream, wanted=wanted: len(stream.values) >= wanted)  # type: ignore[misc]
                seen += stream.values
                last_id = stream.last_id
            await asyncio.to_thread(write, feed, numbers(turn * 100 + 50, turn * 100 + 100))
        assert seen == list(range(550))


async def test_who_began_at_now_resumes_where_it_began_though_it_saw_no_event(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, numbers(0, 5))
    async with serve() as url:
        async with following(url, feed, "now") as stream:
            await until(lambda: stream.last_id)
        write(feed, numbers(5, 8))
        async with following(url, feed, "now", last_id=stream.last_id) as again:
            await until(lambda: len(again.values) >= 3)
            assert again.values == [5, 6, 7]


async def test_a_quiet_connection_gets_comments(make_feed: Callable[..., str], serve: Callable[..., Any]) -> None:
    feed = make_feed()
    async with serve(heartbeat_s=0.1) as url, following(url, feed, "now") as stream:
        await until(lambda: stream.comments >= 2)
        assert stream.values == []


async def test_connections_close_on_schedule_in_a_busy_feed_too_and_nothing_is_lost(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    async with serve(live_s=1.0, flush_s=0.001) as url:
        stop = asyncio.Event()
        written = 0

        async def go_on() -> None:
            nonlocal written
            while not stop.is_set():
                await asyncio.to_thread(write, feed, numbers(written, written + 1))
                written += 1

        writing = asyncio.ensure_future(go_on())
        seen: list[Any] = []
        last_id, closings = "", 0
        while closings < 3:
            async with following(url, feed, last_id=last_id) as stream:
                await until(lambda stream=stream: stream.closed, 10)  # type: ignore[misc]
                closings += 1
                seen += stream.values
                last_id = stream.last_id
        stop.set()
        await writing
        async with following(url, feed, last_id=last_id) as stream:
            await until(lambda: len(seen) + len(stream.values) >= written)
            assert seen + stream.values == list(range(written))


async def test_a_client_that_does_not_read_costs_little_is_kept_and_gets_all_later_while_others_get_it_at_once(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    total, padding = 30_000, "x" * 300
    async with serve(ring_bytes=200_000) as url, following(url, feed, "now") as quick:
        async with connected(url, feed, "now", buffer_bytes=4096) as (reader, _):
            slow = Stream()
            slow.head = await reader.readuntil(b"\r\n\r\n")
            await until(lambda: followers(feed) == 2)
            await until(lambda: quick.last_id)
            for start in range(0, total, 500):
                values = [orjson.dumps([n, padding]) for n in range(start, start + 500)]
                await asyncio.to_thread(write, feed, values)
                await until(lambda start=start: len(quick.values) >= start + 500, 5)  # type: ignore[misc]
            sizes = [t.get_write_buffer_size() for t in open_transports(feed)]
            assert len(sizes) == 2
            assert max(sizes) < 2 * 2**20  # of the 18 MB that it has not read
            assert followers(feed) == 2
            received = bytearray()
            last = orjson.dumps([total - 1, padding])
            async with asyncio.timeout(60):
                while last not in received[-5000:]:
                    chunk = await reader.read(65536)
                    assert chunk, "it was disconnected"
                    received += chunk
                while not received.endswith(b"\n\n"):
                    received += await reader.read(65536)
            for block in received.decode().split("\n\n"):
                slow.take(block)
            assert [value[0] for value in slow.values] == list(range(total))
        assert [value[0] for value in quick.values] == list(range(total))


def open_transports(feed: str) -> list[asyncio.Transport]:
    fan_outs = [o for o in gc.get_objects() if isinstance(o, FanOut) and o._log.entry.feed.name == feed]
    return [f.transport for fan_out in fan_outs for f in fan_out._all() if f.transport is not None]


async def test_a_client_that_never_reads_is_closed_on_schedule(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None], monkeypatch: Any
) -> None:
    monkeypatch.setattr("headrace.consumers.fan_out.LINGER_S", 0.5)
    feed = make_feed()
    write(feed, [orjson.dumps("x" * 1000)] * 10_000)
    async with serve(live_s=1.0) as url, connected(url, feed, buffer_bytes=4096) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        assert followers(feed) == 1
        await until(lambda: followers(feed) == 0)


async def test_200_followers_all_get_all_and_leave_nothing_behind(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(2)
    write(feed, numbers(0, 100))
    async with serve(ring_bytes=10_000) as url:
        before = len(asyncio.all_tasks())
        async with contextlib.AsyncExitStack() as stack:
            streams = []
            for _ in range(200):
                streams.append(await stack.enter_async_context(following(url, feed)))
                if len(streams) % 50 == 0:
                    start = len(streams) * 2
                    await asyncio.to_thread(write, feed, numbers(start, start + 100))
            await until(lambda: all(len(stream.values) >= 500 for stream in streams))
            assert followers(feed) == 200
            for stream in streams:
                assert stream.values == list(range(500))
            # Their own readers here are tasks; those of the service are gone once all stand at the tail.
            await until(lambda: len(asyncio.all_tasks()) - before <= 200 + 5)
        await until(lambda: followers(feed) == 0)
        await until(lambda: len(asyncio.all_tasks()) - before <= 5)


async def test_clients_that_break_off_at_any_moment_leave_no_follower(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [orjson.dumps("x" * 1000)] * 5000)
    async with serve(ring_bytes=10_000) as url:
        for pause in range(40):
            async with connected(url, feed, "-1" if pause % 2 else "now") as (reader, writer):
                if pause % 4 > 1:
                    await reader.read(1)
                await asyncio.sleep(pause / 4000)
                if pause % 3 == 0:
                    writer.transport.abort()
        await until(lambda: followers(feed) == 0)
        async with following(url, feed) as stream:
            await until(lambda: len(stream.values) == 5000)


async def test_a_drain_closes_all_followers_the_slow_ones_too(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [orjson.dumps("x" * 1000)] * 10_000)
    async with contextlib.AsyncExitStack() as stack:
        async with serve() as url:
            streams = [await stack.enter_async_context(following(url, feed, "now")) for _ in range(5)]
            for _ in range(5):
                await stack.enter_async_context(connected(url, feed, buffer_bytes=4096))
            await until(lambda: followers(feed) == 10 and all(stream.last_id for stream in streams))
            started_s = time.monotonic()
        assert time.monotonic() - started_s < 2
        await until(lambda: followers(feed) == 0)
        await until(lambda: all(stream.closed for stream in streams))


async def test_many_followers_that_stall_and_go_on_see_every_event_once(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    """Sockets that fill and drain all the time: front, full, catching up, joining, in every order."""
    feed = make_feed()
    total, padding = 4_000, "x" * 500

    async def read_in_fits(url: str, index: int) -> list[int]:
        stream = Stream()
        async with connected(url, feed, buffer_bytes=8192) as (reader, _):
            stream.head = await reader.readuntil(b"\r\n\r\n")
            received = b""
            while not stream.values or stream.values[-1][0] < total - 1:
                chunk = await reader.read(200_000)
                assert chunk, "it was disconnected"
                *blocks, received = (received + chunk).split(b"\n\n")
                for block in blocks:
                    stream.take(block.decode())
                if len(stream.values) % (index + 3) == 0:
                    await asyncio.sleep(0.02 * (index % 4))
        return [value[0] for value in stream.values]

    async with serve(ring_bytes=100_000, flush_s=0.001) as url:
        reads = [asyncio.ensure_future(read_in_fits(url, index)) for index in range(16)]
        for start in range(0, total, 50):
            await asyncio.to_thread(write, feed, [orjson.dumps([n, padding]) for n in range(start, start + 50)])
        async with asyncio.timeout(60):
            for numbers_read in await asyncio.gather(*reads):
                assert numbers_read == list(range(total))
        await until(lambda: followers(feed) == 0)


async def test_an_event_that_cannot_be_framed_closes_its_followers_and_the_others_go_on(
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
    monkeypatch: Any,
) -> None:
    feed = make_feed()
    as_it_is = Record.json

    def json(self: Record, *how: Any) -> bytes:
        if self.message.value() == b'"poison"' and not healed:
            raise RuntimeError("a registry that does not answer")
        return as_it_is(self, *how)

    healed = False
    monkeypatch.setattr(Record, "json", json)
    async with serve() as url, following(url, feed) as stream:
        write(feed, [b"1"])
        await until(lambda: stream.values == [1] and "upToDate" in stream.controls[-1])
        write(feed, [b'"poison"'])
        await until(lambda: stream.closed)
        healed = True
        async with following(url, feed, last_id=stream.last_id) as again:
            write(feed, [b"2"])
            await until(lambda: len(again.values) == 2)
            assert again.values == ["poison", 2]


async def test_a_client_at_http_is_given_the_same(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with serve() as url:
        query = {"live": "sse", "offset": "-1"}
        async with http.get(f"{url}/v1/feeds/{feed}/events", params=query) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            stream = Stream()
            while not stream.values:
                stream.take((await answer.content.readuntil(b"\n\n")).decode())
            assert stream.values == [1]
