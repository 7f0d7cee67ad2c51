"""Following by every transport: the same events, whatever happens to the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from confluent_kafka import Producer
from integration.client.conftest import FeedFactory, Gateway
from support.waiting import until

from headrace.client import BadRequest, Checkpoint, Client, Event, FeedNotFound, Transport

TRANSPORTS: list[Transport] = ["long-poll", "sse", "websocket"]


def numbered(first: int, count: int) -> list[dict[str, str | int]]:
    return [{"key": f"k{number % 5}", "number": number} for number in range(first, first + count)]


def numbers(events: Iterable[Event]) -> list[int]:
    return [event.data["number"] for event in events]


def in_order(events: Iterable[Event]) -> bool:
    by_partition: dict[int, list[int]] = {}
    for event in events:
        by_partition.setdefault(event.partition, []).append(event.sequence)
    return all(seen == sorted(set(seen)) for seen in by_partition.values())


def filler() -> str:
    """What no compression gets through the buffers of a connection."""
    return random.randbytes(500).hex()


@contextlib.asynccontextmanager
async def taking(events: AsyncIterator[Event]) -> AsyncIterator[list[Event]]:
    """What comes, as it comes."""
    seen: list[Event] = []

    async def take() -> None:
        async for event in events:
            seen.append(event)  # noqa: PERF401 - they are to be seen as they come

    task = asyncio.ensure_future(take())
    try:
        yield seen
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_it_goes_on_over_a_restart_with_nothing_lost_or_repeated(
    gateway: Gateway, new_feed: FeedFactory, kafka: str, transport: Transport
) -> None:
    feed = new_feed("partitions = 3", 'key = "key"')
    async with contextlib.AsyncExitStack() as stack:
        async with gateway() as url:
            client = await stack.enter_async_context(Client(url))
            await client.publish(feed, numbered(0, 2500))
            seen = await stack.enter_async_context(taking(client.follow(feed, transport=transport, page_events=700)))
            await until(lambda: len(seen) == 2500)
            await client.publish(feed, numbered(2500, 100))
            await until(lambda: len(seen) == 2600)
        # While the gateway is away somebody else writes to the topic.
        producer = Producer({"bootstrap.servers": kafka, "max.in.flight": 1})
        for number in range(2600, 2700):
            producer.produce(feed, b'{"key":"k","number":%d}' % number, b"k")
        assert producer.flush(10) == 0
        async with gateway(port=urlsplit(url).port):
            await until(lambda: len(seen) == 2700)
            await client.publish(feed, numbered(2700, 100))
            await until(lambda: len(seen) >= 2800)
            assert sorted(numbers(seen)) == list(range(2800))
            assert in_order(seen)


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_connections_that_end_as_planned_are_not_noticed(
    gateway: Gateway, new_feed: FeedFactory, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    feed = new_feed()
    addresses: set[str] = set()
    async with gateway(live_s=0.1) as url, Client(url) as client, aiohttp.ClientSession() as http:

        async def came_again(times: int) -> bool:
            async with http.get(f"{url}/v1/followers", params={"feed": feed}) as answer:
                addresses.update(row["address"] for row in (await answer.json())["followers"])
            return len(addresses) > times

        async with taking(client.follow(feed, transport=transport)) as seen:
            for number in range(4):
                await client.publish(feed, numbered(number, 1))
                await until(lambda number=number: len(seen) == number + 1)  # type: ignore[misc]
                await until(lambda number=number: came_again(number))  # type: ignore[misc]
            assert numbers(seen) == [0, 1, 2, 3]
    assert not [record for record in caplog.records if record.name == "headrace.client"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_is_chosen_is_chosen_in_history_and_live(
    gateway: Gateway, new_feed: FeedFactory, transport: Transport
) -> None:
    feed = new_feed("partitions = 2", 'key = "key"')
    async with gateway() as url, Client(url) as client, contextlib.AsyncExitStack() as stack:
        await client.publish(feed, numbered(0, 300))

        async def following(**wanted: Any) -> list[Event]:
            events = client.follow(feed, transport=transport, **wanted)
            return await stack.enter_async_context(taking(events))

        filtered = await following(filter="data.number >= 295", max_bytes=1)  # an event is larger, and comes
        keyed = await following(key="k3")
        one, other = await following(partition=0), await following(partition=1)
        await until(lambda: len(filtered) == 5)
        await client.publish(feed, numbered(300, 20))
        await until(lambda: len(filtered) == 25 and len(keyed) == 64 and len(one) + len(other) == 320)
        assert sorted(numbers(filtered)) == list(range(295, 320))
        assert numbers(keyed) == list(range(3, 320, 5))
        assert sorted(numbers(one) + numbers(other)) == list(range(320))
        assert {event.partition for event in one} == {0}
        page = await client.pull(feed, filter="data.number == 7", partition=one[0].partition, key="k2")
        assert numbers(page.events) == ([7] if 7 in numbers(one) else [])
        pages = [page async for page in client.read(feed, key="k1", max_bytes=1)]
        assert {len(page) for page in pages} <= {0, 1}
        assert sum(map(len, pages)) == 64


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_checkpoint_is_saved_when_a_page_was_dealt_with(
    gateway: Gateway, new_feed: FeedFactory, tmp_path: Path, transport: Transport
) -> None:
    feed = new_feed()
    checkpoint = Checkpoint(tmp_path / "position", feed)
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 5))
        seen: list[Event] = []
        async for event in client.follow(feed, checkpoint=checkpoint, page_events=2, transport=transport):
            seen.append(event)
            if len(seen) == 4:
                break
        async with taking(client.follow(feed, checkpoint=checkpoint, transport=transport)) as again:
            await until(lambda: len(again) == 3)  # the page of 2 and 3 was not dealt with
            await client.publish(feed, numbered(5, 2))
            await until(lambda: len(again) == 5)
            assert numbers(again) == [2, 3, 4, 5, 6]
        kept = checkpoint.load()
        assert kept is not None
        async with taking(client.follow(feed, from_=kept, transport=transport)) as rest:
            await client.publish(feed, numbered(7, 1))
            await until(lambda: rest and numbers(rest)[-1] == 7)
            assert numbers(rest)[-2:] in ([7], [6, 7])


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_a_reader_that_dawdles_gets_all_and_holds_up_nobody(
    gateway: Gateway, new_feed: FeedFactory, transport: Transport
) -> None:
    feed = new_feed()
    async with gateway(ring_bytes=100_000) as url, Client(url) as client:
        pages = client.read(feed, offset="now", follow=True, transport=transport, page_events=100)
        first = await anext(pages)
        assert len(first) == 0
        slow = asyncio.ensure_future(anext(pages))
        await client.publish(feed, [{"number": -1}])
        await slow
        async with taking(client.follow(feed, from_=first.next_offset, transport=transport)) as quick:
            for start in range(0, 10_000, 1000):
                await client.publish(feed, [{"number": n, "filler": filler()} for n in range(start, start + 1000)])
                await until(lambda start=start: len(quick) == start + 1001)  # type: ignore[misc]
        seen: list[int] = []
        async with asyncio.timeout(30):
            while len(seen) < 10_000:
                seen += numbers((await anext(pages)).events)
        assert seen == list(range(10_000))


async def test_with_conflate_one_that_dawdles_gets_the_latest_of_each_key(
    gateway: Gateway, new_feed: FeedFactory
) -> None:
    feed = new_feed('key = "key"')
    async with gateway() as url, Client(url) as client:
        events = client.follow(feed, from_="now", transport="sse", slow="conflate")
        begun = asyncio.ensure_future(anext(events))

        async def seen() -> bool:
            await client.publish(feed, [{"key": "k", "number": -1}])
            return begun.done()

        await until(seen)
        for start in range(0, 20_000, 1000):
            await client.publish(
                feed, [{"key": "k", "number": n, "filler": filler()} for n in range(start, start + 1000)]
            )
        count = 0
        async with asyncio.timeout(30):
            async for event in events:
                count += 1
                if event.data["number"] == 19_999:
                    break
        assert count < 19_000


async def test_what_does_not_go_together_or_is_wrong_is_told(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    async with gateway() as url, Client(url) as client:
        with pytest.raises(ValueError, match="slow"):
            client.follow(feed, slow="conflate")
        with pytest.raises(ValueError, match="max_events"):
            client.read(feed, follow=True, transport="websocket", max_events=1)
        for transport in TRANSPORTS:
            with pytest.raises(BadRequest, match="filter"):
                await anext(client.follow(feed, transport=transport, filter="data >"))
            with pytest.raises(FeedNotFound):
                await anext(client.follow("no-such-feed", transport=transport))
