"""Reads of some of a feed's events: one partition, one key, what a filter says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions
from support.waiting import until

from headrace import metrics
from headrace.consumers import page
from headrace.consumers.filter.expression import Filter

pytestmark = pytest.mark.usefixtures("kafka")

NOBODY = "data.n < 0"


def keyed(servers: str, topic: str, values: list[tuple[str, Any]]) -> None:
    """Writes values where their keys belong."""
    producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "max.in.flight": 1})
    for key, value in values:
        producer.produce(topic, orjson.dumps(value), key)
    assert producer.flush(30) == 0


async def pages(
    http: aiohttp.ClientSession, url: str, feed: str, offset: str = "-1", **params: Any
) -> tuple[list[list[Any]], str]:
    """The values of all pages up to the tail, and the position there."""
    found: list[list[Any]] = []
    while True:
        query = {"offset": offset, **params}
        async with http.get(f"{url}/v1/feeds/{feed}/events", params=query) as answer:
            assert answer.status == 200, await answer.text()
            found.append([event["data"] for event in await answer.json()])
            assert answer.headers["Stream-Next-Offset"] >= offset or offset == "-1"
            offset = answer.headers["Stream-Next-Offset"]
            if "Stream-Up-To-Date" in answer.headers:
                return found, offset
            assert answer.headers["Cache-Control"].startswith("public")


@pytest.mark.parametrize("ring_bytes", [0, 3_000, 2**24])
async def test_pages_of_a_selection_hold_exactly_what_it_wants_in_order(
    kafka: str, http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], ring_bytes: int
) -> None:
    feed = make_feed(3, extra='key = "k"')
    async with serve(ring_bytes=ring_bytes) as url:
        await http.get(f"{url}/v1/feeds/{feed}/events")
        keyed(kafka, feed, [(f"k{n % 7}", {"k": f"k{n % 7}", "n": n}) for n in range(600)])
        everything = [value for found in (await pages(http, url, feed))[0] for value in found]
        assert len(everything) == 600
        by_key, tail = await pages(http, url, feed, key="k3", limit=10)
        assert [value["n"] for found in by_key for value in found] == list(range(3, 600, 7))
        assert max(map(len, by_key)) == 10
        filtered, end = await pages(http, url, feed, filter="data.n % 100 == 0", limit=2)
        assert sorted(value["n"] for found in filtered for value in found) == [0, 100, 200, 300, 400, 500]
        assert end == tail
        both, _ = await pages(http, url, feed, filter="data.n > 500", key="k3")
        assert [value["n"] for found in both for value in found] == [n for n in range(3, 600, 7) if n > 500]
        found = []
        for partition in range(3):
            of_one, end = await pages(http, url, feed, partition=partition, limit=50)
            assert all(len(values) == 50 for values in of_one[:-1])
            numbers = [value["n"] for values in of_one for value in values]
            assert numbers == sorted(numbers)
            assert end == tail
            found += numbers
        assert sorted(found) == list(range(600))


async def test_a_key_is_found_in_every_partition_after_partitions_were_added(
    kafka: str, http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any]
) -> None:
    feed = make_feed(2, extra='key = "k"')
    keys = [f"k{n}" for n in range(10)]
    keyed(kafka, feed, [(key, {"k": key, "n": n}) for n in range(5) for key in keys])
    async with serve(ring_bytes=0) as url:
        _, before = await pages(http, url, feed, key="k1")
        admin = AdminClient({"bootstrap.servers": kafka})
        admin.create_partitions([NewPartitions(feed, 5)])[feed].result()

        async def grown() -> bool:
            async with http.get(f"{url}/v1/feeds/{feed}") as answer:
                return bool((await answer.json())["partitions"] == 5)

        await until(grown)
        keyed(kafka, feed, [(key, {"k": key, "n": n}) for n in range(5, 10) for key in keys])
        for key in keys:
            found, _ = await pages(http, url, feed, key=key)
            assert sorted(value["n"] for values in found for value in values) == list(range(10))
        later, _ = await pages(http, url, feed, before, key="k1")
        assert [value["n"] for values in later for value in values] == list(range(5, 10))


async def test_a_key_is_not_stepped_over_by_a_gateway_that_has_not_seen_that_partitions_were_added(
    kafka: str,
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.consumers.core.tail.WATCH_S", 600.0)
    feed = make_feed(2, extra='key = "k"')
    keys = [f"k{n}" for n in range(10)]
    keyed(kafka, feed, [(key, {"k": key, "n": 0}) for key in keys])
    async with serve(ring_bytes=0) as url:
        _, before = await pages(http, url, feed)
        admin = AdminClient({"bootstrap.servers": kafka})
        admin.create_partitions([NewPartitions(feed, 3)])[feed].result()
        # Now keys belong elsewhere, some of them in the other one of the two that the gateway knows.
        keyed(kafka, feed, [(key, {"k": key, "n": n}) for n in range(1, 4) for key in keys])
        async with serve(ring_bytes=0) as other:
            for key in keys:
                found, offset = await pages(http, url, feed, before, key=key)
                rest, _ = await pages(http, other, feed, offset, key=key)
                assert sorted(value["n"] for values in found + rest for value in values) == [1, 2, 3], key


async def test_a_page_may_be_empty_before_the_tail_and_leads_on(
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.consumers.selected_log.SCAN_EVENTS", 100)
    feed = make_feed()
    write(feed, [b'{"n":%d}' % n for n in range(page.SCANS * 100 * 2 + 50)])
    for ring_bytes in (0, 2**24):
        async with serve(ring_bytes=ring_bytes, long_poll_s=0.2) as url:
            found, end = await pages(http, url, feed, filter=NOBODY)
            assert found == [[], [], []]
            query = {"offset": "-1", "filter": NOBODY, "live": "long-poll"}
            statuses = []
            while query["offset"] != end:
                async with http.get(f"{url}/v1/feeds/{feed}/events", params=query) as answer:
                    statuses.append(answer.status)
                    assert answer.headers["Cache-Control"] == "no-store"
                    assert answer.headers["Stream-Next-Offset"] > query["offset"]
                    query["offset"] = answer.headers["Stream-Next-Offset"]
            assert statuses[-1] == 204
            assert set(statuses[:-1]) == {200}


async def test_max_bytes_cuts_the_page_and_loses_nothing(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(2)
    for partition in (0, 1):
        write(feed, [orjson.dumps({"n": n, "x": "x" * (n * 20)}) for n in range(100)], partition=partition)
    async with serve(ring_bytes=20_000) as url:
        offset, seen, alone = "-1", [], 0
        while True:
            query: dict[str, str] = {"offset": offset, "max_bytes": "2000"}
            async with http.get(f"{url}/v1/feeds/{feed}/events", params=query) as answer:
                body = await answer.read()
                events = orjson.loads(body)
                assert len(body) <= 2_001 or len(events) == 1
                alone += len(events) == 1
                seen += events
                offset = answer.headers["Stream-Next-Offset"]
                if "Stream-Up-To-Date" in answer.headers:
                    break
        assert alone > 0
        for partition in (0, 1):
            assert [e["data"]["n"] for e in seen if e["partition"] == partition] == list(range(100))


async def test_the_tag_of_a_page_says_what_was_chosen(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [b'{"n":1}'], key=b"a")
    async with serve() as url:
        tags = []
        choices: list[dict[str, str]] = [{}, {"key": "a"}, {"key": "b"}, {"filter": "data.n == 1"}, {"partition": "0"}]
        for chosen in choices:
            async with http.get(f"{url}/v1/feeds/{feed}/events", params=chosen) as answer:
                tags.append(answer.headers["ETag"])
            headers = {"If-None-Match": tags[-1]}
            async with http.get(f"{url}/v1/feeds/{feed}/events", params=chosen, headers=headers) as answer:
                assert answer.status == 304
        assert len(set(tags)) == len(choices)


async def test_a_long_poll_waits_for_what_it_wants_and_comes_back_with_the_new_position(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(2)

    def waiting() -> float:
        return float(metrics.followers.labels(feed, "long-poll")._value.get())

    async with serve(long_poll_s=60) as url:
        query = {"offset": "now", "live": "long-poll", "filter": "data.n == 99"}

        async def poll() -> Any:
            async with http.get(f"{url}/v1/feeds/{feed}/events", params=query) as answer:
                return [event["data"]["n"] for event in await answer.json()]

        polling = asyncio.ensure_future(poll())
        await until(lambda: waiting() == 1)
        before = metrics.tail_events.labels(feed)._value.get()
        for n in range(50):
            await asyncio.to_thread(write, feed, [b'{"n":%d}' % n], partition=n % 2)
        await until(lambda: metrics.tail_events.labels(feed)._value.get() == before + 50)
        assert not polling.done()
        write(feed, [b'{"n":99}'])
        assert await polling == [99]
    async with serve(long_poll_s=1.0) as url:
        async with http.get(f"{url}/v1/feeds/{feed}/events?offset=now") as answer:
            offset = answer.headers["Stream-Next-Offset"]
        query = {"offset": offset, "live": "long-poll", "partition": "1"}

        async def come_back() -> tuple[int, str]:
            async with http.get(f"{url}/v1/feeds/{feed}/events", params=query) as answer:
                return answer.status, answer.headers["Stream-Next-Offset"]

        task = asyncio.ensure_future(come_back())
        await until(lambda: waiting() == 1)
        write(feed, [b'{"n":100}'], partition=0)
        status, later = await task
        assert status == 204
        assert later > offset


async def test_a_filter_is_asked_once_for_each_event_however_many_follow(
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed = make_feed()
    asked = 0
    decide = Filter.decide

    def counted(self: Filter, *arguments: Any) -> bool:
        nonlocal asked
        asked += 1
        return decide(self, *arguments)

    async with serve(long_poll_s=60) as url:
        query = {"offset": "now", "live": "long-poll", "filter": "data.n >= 5"}

        async def poll() -> Any:
            async with http.get(f"{url}/v1/feeds/{feed}/events", params=query) as answer:
                return [event["data"]["n"] for event in await answer.json()]

        polls = [asyncio.ensure_future(poll()) for _ in range(50)]
        await until(lambda: metrics.followers.labels(feed, "long-poll")._value.get() == 50)
        monkeypatch.setattr(Filter, "decide", counted)
        for n in range(6):
            await asyncio.to_thread(write, feed, [b'{"n":%d}' % n])
        assert await asyncio.gather(*polls) == [[5]] * 50
        assert asked == 6


async def test_a_partition_that_the_feed_does_not_have_is_refused(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any]
) -> None:
    feed = make_feed(2)
    async with serve() as url, http.get(f"{url}/v1/feeds/{feed}/events?partition=2") as answer:
        assert answer.status == 400
        assert "from 0 to 1" in (await answer.json())["detail"]
