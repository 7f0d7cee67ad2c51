"""Followers that choose, that share, and that are slow; and the list of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import zstandard
from support.event_stream import Stream, connected, following
from support.running import service
from support.waiting import until

from headrace import metrics
from headrace.consumers.fan_out import FanOut
from headrace.consumers.reading import Reading
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import ServeSettings

PADDING = "x" * 300


def padded(first: int, beyond: int) -> list[bytes]:
    return [orjson.dumps([n, PADDING]) for n in range(first, beyond)]


async def has(stream: Stream, count: int) -> None:
    await until(lambda: len(stream.values) >= count)


async def listed(http: aiohttp.ClientSession, url: str, **params: str) -> dict[str, Any]:
    async with http.get(f"{url}/v1/followers", params=params) as answer:
        assert answer.status == 200
        return dict(await answer.json())


async def test_followers_get_what_they_choose_from_history_and_then_live(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(2)

    def numbers(first: int, beyond: int) -> None:
        for partition in (0, 1):
            values = [orjson.dumps(n) for n in range(first, beyond) if n % 2 == partition]
            write(feed, values, partition=partition, key=b"odd" if partition else b"even")

    numbers(0, 1000)
    async with serve(ring_bytes=20_000) as url, contextlib.AsyncExitStack() as stack:
        choices: dict[str, Callable[[int], bool]] = {
            "partition=1": lambda n: n % 2 == 1,
            "key=even": lambda n: n % 2 == 0,
            "filter=data%20%3E%20990": lambda n: n > 990,
            "key=odd&filter=data%20%3E%20990": lambda n: n % 2 == 1 and n > 990,
        }
        streams = {}
        for query in choices:
            streams[query] = [await stack.enter_async_context(following(url, feed, query=query)) for _ in range(3)]
        for start in range(1000, 2000, 200):
            await asyncio.to_thread(numbers, start, start + 200)
        for query, wanted in choices.items():
            expected = [n for n in range(2000) if wanted(n)]
            for stream in streams[query]:
                await has(stream, len(expected))
                assert sorted(stream.values) == expected
        rows = (await listed(http, url))["followers"]
        assert len(rows) == 12
        assert {(row.get("key"), row.get("partition"), row.get("filter")) for row in rows} == {
            (None, "1", None),
            ("even", None, None),
            (None, None, "data > 990"),
            ("odd", None, "data > 990"),
        }
        # Whoever resumes with its last id misses nothing, and gets nothing again.
        last_id = streams["key=even"][0].last_id
        numbers(2000, 2010)
        async with following(url, feed, query="key=even", last_id=last_id) as again:
            await until(lambda: len(again.values) == 5)
            assert again.values == [2000, 2002, 2004, 2006, 2008]


async def test_one_who_wants_nothing_that_comes_is_told_the_position_with_the_heartbeat(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    async with serve(heartbeat_s=0.1) as url, following(url, feed, "now", query="filter=data%20%3C%200") as stream:
        await until(lambda: stream.last_id)
        began = stream.last_id
        write(feed, [b"1"])
        await until(lambda: stream.last_id > began)
        assert stream.values == []


async def test_a_plain_event_source_follows_from_now(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    async with serve() as url, http.get(f"{url}/v1/feeds/{feed}/events", headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["X-Accel-Buffering"] == "no"
        stream = Stream()
        while not stream.last_id:
            stream.take((await answer.content.readuntil(b"\n\n")).decode())
        write(feed, [b"2"])
        while not stream.values:
            stream.take((await answer.content.readuntil(b"\n\n")).decode())
        assert stream.values == [2]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_compressed_stream_is_valid_whenever_its_follower_joined(
    make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None], coding: str
) -> None:
    feed = make_feed()
    write(feed, padded(0, 500))

    def inflated(raw: bytes) -> bytes:
        if coding == "gzip":
            return zlib.decompressobj(wbits=31).decompress(raw)
        with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as reader:
            return reader.read()

    async def read_to(reader: asyncio.StreamReader, last: int) -> Stream:
        stream, raw = Stream(), b""
        stream.head = await reader.readuntil(b"\r\n\r\n")
        assert f"Content-Encoding: {coding}".encode() in stream.head
        while orjson.dumps([last, PADDING]) not in inflated(raw):
            raw += await reader.read(65536)
        for block in inflated(raw).decode().split("\n\n"):
            stream.take(block)
        assert len(raw) < len(inflated(raw)) / 3
        return stream

    async with serve(ring_bytes=20_000) as url, contextlib.AsyncExitStack() as stack:
        reads = []
        for start in range(500, 1000, 100):
            reader, _ = await stack.enter_async_context(connected(url, feed, headers={"Accept-Encoding": coding}))
            reads.append(asyncio.ensure_future(read_to(reader, 999)))
            await asyncio.to_thread(write, feed, padded(start, start + 100))
        async with asyncio.timeout(30):
            for stream in await asyncio.gather(*reads):
                assert [value[0] for value in stream.values] == list(range(1000))


@contextlib.asynccontextmanager
async def stalled(
    http: aiohttp.ClientSession, url: str, feed: str, write: Callable[..., None], query: str
) -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A client at the tail that stops reading, and as many events as fill its socket and more; gives their number."""
    async with connected(url, feed, "now", query=query, buffer_bytes=4096) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: metrics.followers.labels(feed, "sse")._value.get() == 1)
        written = 0

        async def slow() -> bool:
            nonlocal written
            await asyncio.to_thread(write, feed, padded(written, written + 2000), key=b"k")
            written += 2000
            return bool((await listed(http, url, slow="true", feed=feed))["total"])

        await until(slow, 60)
        yield reader, written


async def test_a_slow_client_may_have_the_latest_of_each_key_only(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    async with serve() as url, stalled(http, url, feed, write, "slow=conflate") as (reader, written):
        assert metrics.slow_followers.labels(feed, "sse")._value.get() == 1
        row = (await listed(http, url, feed=feed))["followers"][0]
        assert row["state"] == "full"
        assert row["slow"] == "conflate"
        assert row["bytes_waiting"] > 100_000
        assert row["address"].startswith("127.0.0.1:")
        assert row["full_since"] is not None
        await asyncio.to_thread(write, feed, padded(written, written + 20_000), key=b"k")
        await asyncio.to_thread(write, feed, [b'["other"]'], key=b"other")
        last = written + 20_000
        stream, received = Stream(), b""
        while not stream.values or stream.values[-1] != ["other"]:
            *blocks, received = (received + await reader.read(65536)).split(b"\n\n")
            for block in blocks:
                stream.take(block.decode())
        numbers = [value[0] for value in stream.values if value != ["other"]]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == last - 1  # the latest is never left out
        assert len(numbers) < last - 15_000  # what it had not had of the key was
        await until(lambda: metrics.slow_followers.labels(feed, "sse")._value.get() == 0)
        # At the front again it gets every event.
        await asyncio.to_thread(write, feed, [b"[1]", b"[2]", b"[3]"], key=b"k")
        while stream.values[-1] != [3]:
            *blocks, received = (received + await reader.read(65536)).split(b"\n\n")
            for block in blocks:
                stream.take(block.decode())
        assert stream.values[-3:] == [[1], [2], [3]]


async def test_a_slow_client_may_be_told_to_go_with_where_to_go_on(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    async with serve(slow_s=0.1) as url, stalled(http, url, feed, write, "slow=disconnect") as (reader, written):
        closed = metrics.followers.labels(feed, "sse")._value
        [fan_out] = [o for o in gc.get_objects() if isinstance(o, FanOut) and o._log.entry.feed.name == feed]
        # Not read before it is told to go: it might be slow no more by then.
        await until(lambda: not any(one.connection.open for one in fan_out.following()))
        stream, received = Stream(), await reader.read(-1)  # to the end: it is closed
        for block in received.decode().split("\n\n"):
            stream.take(block)
        await until(lambda: closed.get() == 0)
        assert stream.farewell is not None
        assert stream.farewell["reason"] == "slow"
        assert stream.farewell["streamNextOffset"] == stream.last_id
        seen = [value[0] for value in stream.values]
        assert seen == list(range(len(seen)))
        async with following(url, feed, last_id=stream.last_id) as again:
            await asyncio.to_thread(write, feed, padded(written, written + 1))
            await until(lambda: len(seen) + len(again.values) > written)
            assert seen + [value[0] for value in again.values] == list(range(written + 1))


async def test_followers_that_have_gone_leave_no_fan_out(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any]
) -> None:
    feed = make_feed()
    async with serve() as url:
        before = len(asyncio.all_tasks())
        for n in range(20):
            async with following(url, feed, "now", query=f"filter=data%20%3E%20{n}") as stream:
                await until(lambda stream=stream: stream.last_id)  # type: ignore[misc]
        await until(lambda: len(asyncio.all_tasks()) <= before + 2)
        assert (await listed(http, url))["total"] == 0


@pytest.mark.parametrize("upgrade", [{}, {"Upgrade": "websocket"}])
async def test_one_that_comes_while_the_process_stops_is_told_to_come_again(
    kafka: str, feeds: Path, http: aiohttp.ClientSession, make_feed: Callable[..., str], upgrade: dict[str, str]
) -> None:
    feed = make_feed()
    settings = ServeSettings(bootstrap_servers=kafka, feeds=feeds)
    reading = Reading(settings, load_catalogue(settings))
    asked = {"Accept": "text/event-stream"}
    if upgrade:
        asked = {
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
    async with service(reading) as url:
        await reading.drain()
        async with http.get(f"{url}/v1/feeds/{feed}/events?offset=-1", headers={**asked, **upgrade}) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
            assert "connect again" in (await answer.json())["detail"]
