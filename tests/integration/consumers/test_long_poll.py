from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from confluent_kafka import Producer
from support.waiting import until

from headrace import metrics


def waiting(feed: str) -> float:
    return float(metrics.followers.labels(feed, "long-poll")._value.get())


async def test_what_is_there_comes_at_once(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [b"1", b"2"])
    async with serve(long_poll_s=60) as url:
        started_s = time.monotonic()
        async with http.get(f"{url}/v1/feeds/{feed}/events?live=long-poll&offset=-1") as answer:
            assert [event["data"] for event in await answer.json()] == [1, 2]
            assert answer.headers["Stream-Up-To-Date"] == "true"
            assert answer.headers["Stream-Cursor"].isdigit()
        assert time.monotonic() - started_s < 10


async def test_a_poll_that_saw_nothing_is_204_which_no_cache_keeps(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with serve(long_poll_s=0.2) as url:
        async with http.get(f"{url}/v1/feeds/{feed}/events?live=long-poll&offset=now") as answer:
            assert answer.status == 204
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Stream-Up-To-Date"] == "true"
            cursor = answer.headers["Stream-Cursor"]
            offset = answer.headers["Stream-Next-Offset"]
        query = {"live": "long-poll", "offset": offset, "cursor": cursor}
        async with http.get(f"{url}/v1/feeds/{feed}/events", params=query) as answer:
            assert answer.status == 204
            assert answer.headers["Stream-Next-Offset"] == offset
            assert int(answer.headers["Stream-Cursor"]) > int(cursor)  # a cache's loop is broken so


async def test_one_event_wakes_all_who_wait(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(3)
    async with serve(long_poll_s=60) as url:

        async def poll() -> list[Any]:
            async with http.get(f"{url}/v1/feeds/{feed}/events?live=long-poll&offset=now") as answer:
                assert answer.status == 200
                assert answer.headers["Cache-Control"] == "no-store"
                return [event["data"] for event in await answer.json()]

        polls = [asyncio.ensure_future(poll()) for _ in range(100)]
        await until(lambda: waiting(feed) == 100)
        write(feed, [b"1"], partition=2)
        assert await asyncio.gather(*polls) == [[1]] * 100
        assert waiting(feed) == 0


async def test_an_aborted_transaction_wakes_nobody(
    kafka: str,
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
) -> None:
    feed = make_feed()
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": feed})
    await asyncio.to_thread(producer.init_transactions, 30)
    async with serve(long_poll_s=60) as url:

        async def poll() -> list[Any]:
            async with http.get(f"{url}/v1/feeds/{feed}/events?live=long-poll&offset=now") as answer:
                assert answer.status == 200
                return [event["data"] for event in await answer.json()]

        async def tail() -> str:
            async with http.get(f"{url}/v1/feeds/{feed}") as answer:
                return str((await answer.json())["next_offset"])

        before = await tail()

        async def moved() -> bool:
            return await tail() != before

        polling = asyncio.ensure_future(poll())
        await until(lambda: waiting(feed) == 1)
        producer.begin_transaction()
        producer.produce(feed, b"0", partition=0)
        await asyncio.to_thread(producer.flush, 30)
        await asyncio.to_thread(producer.abort_transaction, 30)
        await until(moved)
        assert not polling.done()
        write(feed, [b"1"])
        assert await polling == [1]


async def test_a_drain_ends_the_wait(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any]
) -> None:
    feed = make_feed()
    async with serve(long_poll_s=60) as url:
        polling = asyncio.ensure_future(http.get(f"{url}/v1/feeds/{feed}/events?live=long-poll&offset=now"))
        await until(lambda: waiting(feed) == 1)
        started_s = time.monotonic()
    assert (await polling).status == 204
    assert time.monotonic() - started_s < 2
