from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from integration.client.conftest import FeedFactory, Gateway
from support.waiting import until

from headrace.client import BadRequest, Client, Event, FeedNotFound, OffsetGone, Page, Unreachable

KEYS = 20


def numbered(first: int, count: int) -> list[dict[str, str | int]]:
    return [{"key": f"k{number % KEYS}", "number": number} for number in range(first, first + count)]


def numbers(events: Iterable[Event]) -> list[int]:
    return [event.data["number"] for event in events]


def check_order(events: list[Event]) -> None:
    by_partition: defaultdict[int, list[int]] = defaultdict(list)
    by_key: defaultdict[str | None, list[int]] = defaultdict(list)
    for event in events:
        by_partition[event.partition].append(event.sequence)
        by_key[event.key].append(event.data["number"])
    for in_order in (*by_partition.values(), *by_key.values()):
        assert in_order == sorted(in_order)


@pytest.mark.parametrize("from_memory", [True, False])
async def test_many_pages_over_several_partitions_hold_every_event_once_and_in_order(
    gateway: Gateway, new_feed: FeedFactory, from_memory: bool
) -> None:
    feed = new_feed("partitions = 4", 'key = "key"')
    async with gateway() as writing, Client(writing) as writer:
        await writer.pull(feed)  # from here on the first gateway keeps the feed in memory
        written = await writer.publish(feed, numbered(0, 2500))
        async with gateway() as other, Client(writing if from_memory else other) as reader:
            pages = [page async for page in reader.read(feed, page_events=100)]
    events = [event for page in pages for event in page.events]
    assert sorted(numbers(events)) == list(range(2500))
    assert {(e.id, e.partition, e.sequence) for e in events} == {(w.id, w.partition, w.offset) for w in written}
    assert len({event.partition for event in events}) == 4
    check_order(events)
    assert all(len(page) <= 100 for page in pages)
    assert [page.up_to_date for page in pages] == [False] * (len(pages) - 1) + [True]


async def test_following_goes_on_over_a_restart_of_the_gateway_with_nothing_lost_or_repeated(
    gateway: Gateway, new_feed: FeedFactory, kafka: str
) -> None:
    feed = new_feed("partitions = 3", 'key = "key"')
    events: list[Event] = []

    async def follow(client: Client) -> None:
        async for page in client.read(feed, follow=True):
            events.extend(page.events)

    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 200))
        following = asyncio.create_task(follow(client))
        await until(lambda: len(events) == 200)
        await client.publish(feed, numbered(200, 50))
        await until(lambda: len(events) == 250)
    async with Client(url, patience_s=0) as client:
        with pytest.raises(Unreachable):
            await client.feeds()
    # While the gateway is away somebody else writes to the topic.
    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random", "max.in.flight": 1})
    for number in range(250, 300):
        producer.produce(feed, b'{"key":"k%d","number":%d}' % (number % KEYS, number), b"k%d" % (number % KEYS))
    assert producer.flush(10) == 0
    async with gateway(port=urlsplit(url).port) as url, Client(url) as client:
        await until(lambda: len(events) == 300)
        await client.publish(feed, numbered(300, 50))
        await until(lambda: len(events) >= 350)
    following.cancel()
    assert sorted(numbers(events)) == list(range(350))
    check_order(events)


async def test_a_reader_goes_on_from_a_page_in_another_gateway(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed("partitions = 3")
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 100))
        first = await client.pull(feed, limit=37)
    async with gateway() as url, Client(url) as client:
        rest = [page async for page in client.read(feed, offset=first.next_offset)]
    events = [*first.events, *itertools.chain.from_iterable(page.events for page in rest)]
    assert len(first) == 37
    assert sorted(numbers(events)) == list(range(100))


async def test_now_is_the_tail_and_is_known_before_the_first_event(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    pages: list[Page] = []

    async def follow(client: Client) -> None:
        async for page in client.read(feed, offset="now", follow=True):
            pages.append(page)  # noqa: PERF401 - pages are to be seen as they come

    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 5))
        following = asyncio.create_task(follow(client))
        await until(lambda: pages)
        assert len(pages[0]) == 0
        assert pages[0].next_offset == (await client.feed(feed)).next_offset
        await client.publish(feed, numbered(5, 1))
        await until(lambda: len(pages) == 2)
        following.cancel()
    assert numbers(pages[1].events) == [5]


async def test_a_time_is_where_the_events_of_that_time_begin(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 3))
        written = datetime.now(UTC)
        # Kafka's times are milliseconds: the next events must be in another one than the first.
        await until(lambda: datetime.now(UTC) - written > timedelta(milliseconds=5))
        between = written + timedelta(milliseconds=3)
        await client.publish(feed, numbered(3, 3))
        pages = [page async for page in client.read(feed, from_time=between)]
    assert [number for page in pages for number in numbers(page.events)] == [3, 4, 5]


async def test_a_read_ends_after_as_many_events_as_were_asked_for(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed("partitions = 2")
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 50))
        pages = [page async for page in client.read(feed, page_events=20, max_events=45, follow=True)]
        rest = await client.pull(feed, offset=pages[-1].next_offset)
    assert [len(page) for page in pages] == [20, 20, 5]
    assert len(rest) == 5


async def test_events_that_retention_took_are_told_with_the_earliest_that_are_left(
    gateway: Gateway, new_feed: FeedFactory, kafka: str
) -> None:
    feed = new_feed()
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 20))
        old = (await client.pull(feed, limit=5)).next_offset
        admin = AdminClient({"bootstrap.servers": kafka})
        for deleted in admin.delete_records([TopicPartition(feed, 0, 12)]).values():
            deleted.result(10)
    async with gateway() as url, Client(url) as client:
        with pytest.raises(OffsetGone) as gone:
            await client.pull(feed, offset=old)
        left = await client.pull(feed, offset=gone.value.earliest_offset)
    assert numbers(left.events) == list(range(12, 20))


async def test_wrong_names_and_offsets_are_typed_errors_that_say_what_to_do(
    gateway: Gateway, new_feed: FeedFactory
) -> None:
    feed = new_feed()
    async with gateway() as url, Client(url) as client:
        with pytest.raises(FeedNotFound, match="GET /v1/feeds"):
            await client.pull("no/such feed")
        with pytest.raises(FeedNotFound):
            await client.feed("no-such-feed")
        with pytest.raises(BadRequest, match="offset"):
            await client.pull(feed, offset="rubbish")
        with pytest.raises(BadRequest, match="limit"):
            await client.pull(feed, limit=0)
        with pytest.raises(ValueError, match="not both"):
            client.read(feed, offset="-1", from_time=datetime.now(UTC))
        with pytest.raises(ValueError, match="UTC"):
            await client.pull(feed, from_time=datetime(2026, 1, 1))


async def test_feeds_are_described_with_their_offsets(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed("partitions = 2", 'key = "key"', 'event_type = "numbered"')
    async with gateway() as url, Client(url) as client:
        await client.publish(feed, numbered(0, 10))
        described = await client.feed(feed)
        listed = {one.name: one for one in await client.feeds()}
        everything = await client.pull(feed, offset=described.earliest_offset)
    assert (described.partitions, described.records, described.key) == (2, 10, "key")
    assert everything.next_offset == described.next_offset
    assert listed[feed].event_type == "numbered"
    assert listed[feed].partitions is None
    assert "flights.enriched" in listed
