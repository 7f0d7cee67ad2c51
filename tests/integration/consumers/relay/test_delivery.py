"""What a relay delivers, in which order, and what it does with failures."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewPartitions
from support.receiver import (
    Answer,
    Delivery,
    after,
    chunked,
    closes,
    garbage,
    never,
    receiver,
    status,
    when,
)
from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")


async def test_every_event_of_a_feed_is_delivered_once_signed_and_under_its_own_id(api: Api, log: Log) -> None:
    feed = log.feed(partitions=3)
    before = log.send(feed, 100)
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, offset="-1")
        after_it = log.send(feed, 100)
        await until(lambda: len(receiving.deliveries) >= 200)
        assert sorted(receiving.ids) == sorted(before + after_it)
        for delivery in receiving.deliveries:
            delivery.check(created["secret"])
            assert delivery.event["id"] == delivery.id == delivery.data["id"]
            assert delivery.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
            assert delivery.headers["user-agent"].startswith("Headrace/")
        await until(lambda: _lag(api, created["id"]))
        shown = await api.show(created["id"])
        assert shown["status"]["delivered"] == 200
        assert (shown["status"]["lag"], shown["status"]["parked"], shown["status"]["failed"]) == (0, 0, 0)


async def _lag(api: Api, name: str) -> bool:
    return (await api.status(name)).get("lag") == 0


async def test_without_a_start_it_begins_with_what_comes(api: Api, log: Log) -> None:
    feed = log.feed()
    log.send(feed, 10)
    async with receiver() as receiving:
        await api.create(feed, receiving.url)
        ids = log.send(feed, 10)
        await until(lambda: len(receiving.deliveries) >= 10)
        assert sorted(receiving.ids) == sorted(ids)


async def test_it_begins_at_a_token_or_at_a_time(api: Api, log: Log) -> None:
    feed = log.feed()
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    for minute in range(10):
        log.send(feed, timestamp_ms=int((noon + timedelta(minutes=minute)).timestamp() * 1000))
    async with receiver() as at_token, receiver() as at_time, receiver() as just_after, receiver() as long_ago:
        async with api.session.get(f"{api.url}/v1/feeds/{feed}/events?offset=-1&limit=4") as answer:
            token = answer.headers["Stream-Next-Offset"]
            first = [event["id"] for event in await answer.json(content_type=None)]
        everything = first + [f"evt-{int(first[-1][4:]) + n}" for n in range(1, 7)]
        await api.create(feed, at_token.url, offset=token)
        await api.create(feed, at_time.url, from_="2026-11-01T12:07:00Z")
        await api.create(feed, just_after.url, from_="2026-11-01T12:07:00.0001Z")
        await api.create(feed, long_ago.url, from_="1969-12-31T23:59:59.998+00:00")
        await until(lambda: len(long_ago.ids) >= 10 and len(at_token.ids) >= 6 and len(at_time.ids) >= 3)
        await until(lambda: len(just_after.ids) >= 2)
        assert sorted(at_token.ids) == sorted(everything[4:])
        assert sorted(at_time.ids) == sorted(everything[7:])
        assert sorted(just_after.ids) == sorted(everything[8:])
        assert sorted(long_ago.ids) == sorted(everything)


@pytest.mark.parametrize(
    "failure",
    [
        status(500),
        status(429),
        status(302, {"Location": "/hook"}),
        closes,
        garbage,
        never,
        chunked(2, 10, 503),
        status(404),
    ],
    ids=["500", "429", "redirect", "closes", "garbage", "never", "chunked", "404"],
)
async def test_an_event_that_failed_comes_again_under_its_id_and_others_are_not_delayed(
    api: Api, log: Log, failure: Answer
) -> None:
    feed = log.feed()
    ids = log.send(feed, 30)
    bad = ids[7]
    healthy = asyncio.Event()

    def choose(delivery: Delivery) -> Answer | None:
        return failure if delivery.id == bad and not healthy.is_set() else None

    async with receiver() as receiving:
        receiving.choose = choose
        created = await api.create(feed, receiving.url, offset="-1")
        await until(lambda: set(ids) <= set(receiving.ids) and receiving.ids.count(bad) >= 2)
        await until(lambda: _has(api, created["id"], parked=1, lag=1))
        counts = Counter(receiving.ids)
        assert all(counts[event_id] == 1 for event_id in ids if event_id != bad)
        assert (await api.status(created["id"]))["last_error"]
        healthy.set()
        await until(lambda: _has(api, created["id"], parked=0, lag=0))
        for delivery in receiving.deliveries:
            delivery.check(created["secret"])
        assert (await api.status(created["id"]))["delivered"] == 30


async def _has(api: Api, name: str, **wanted: object) -> bool:
    found = await api.status(name)
    return all(found.get(member) == value for member, value in wanted.items())


async def test_answers_of_every_success_are_deliveries(api: Api, log: Log) -> None:
    feed = log.feed()
    ids = log.send(feed, 5)
    answers = [status(200, body=b"x" * 100_000), status(201), status(202), status(204), chunked(3, 10)]
    async with receiver() as receiving:
        receiving.choose = lambda delivery: answers[ids.index(delivery.id)]
        created = await api.create(feed, receiving.url, offset="-1")
        await until(lambda: _has(api, created["id"], delivered=5, lag=0))
        assert sorted(receiving.ids) == sorted(ids)


async def test_waits_grow_from_one_retry_to_the_next(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url)
        log.send(feed)
        await until(lambda: len(receiving.deliveries) >= 5)
        times = [delivery.at_s for delivery in receiving.deliveries]
        waits = [b - a for a, b in itertools.pairwise(times)]
        for wait, doubled in zip(waits, [0.1, 0.2, 0.4, 0.5], strict=False):
            assert doubled * 0.8 <= wait + 0.005
        receiving.answer = status(204)
        await until(lambda: _has(api, created["id"], lag=0, parked=0))


async def test_a_dead_endpoint_does_not_delay_others(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as dead, receiver() as alive:
        dead.answer = never
        await asyncio.gather(*(api.create(feed, dead.url) for _ in range(10)))
        created = await api.create(feed, alive.url)
        log.send(feed, 500)
        await until(lambda: _has(api, created["id"], delivered=500, lag=0))
        # Ten that never answer hold a few requests each, not all that they may have when they are well.
        assert dead.most_waiting <= 80


async def test_in_order_of_key_only_the_key_that_failed_waits(api: Api, log: Log) -> None:
    feed = log.feed(partitions=2)
    sent: dict[str, list[str]] = {key: [] for key in "abcdef"}
    for _ in range(30):
        for key, ids in sent.items():
            ids += log.send(feed, key=key)
    blocked = set(sent["c"])
    open_again = asyncio.Event()
    failing: Counter[str] = Counter()

    def choose(delivery: Delivery) -> Answer | None:
        if delivery.id in blocked and not open_again.is_set():
            return status(503)
        # Of the other keys every third event fails at first.
        failing[delivery.id] += 1
        return status(500) if failing[delivery.id] == 1 and int(delivery.id[4:]) % 3 == 0 else None

    async with receiver() as receiving:
        receiving.choose = choose
        created = await api.create(feed, receiving.url, offset="-1", ordering="key")
        others = {event_id for key, ids in sent.items() if key != "c" for event_id in ids}
        await until(lambda: others <= set(receiving.ids))
        assert blocked & set(receiving.ids) == {sent["c"][0]}
        open_again.set()
        await until(lambda: _has(api, created["id"], delivered=180, lag=0, parked=0))
        accepted = list(dict.fromkeys(reversed(receiving.ids)))[::-1]
        for ids in sent.values():
            assert [event_id for event_id in accepted if event_id in set(ids)] == ids


async def test_a_blocked_key_with_many_events_does_not_stop_the_others(api: Api, log: Log) -> None:
    """More events of it than may be read ahead."""
    feed = log.feed()
    blocked = log.send(feed, 3000, key="blocked")
    others = log.send(feed, 50, key="free")
    async with receiver() as receiving:
        healthy = asyncio.Event()
        receiving.choose = lambda d: status(500) if d.id == blocked[0] and not healthy.is_set() else None
        created = await api.create(feed, receiving.url, offset="-1", ordering="key")
        await until(lambda: set(others) <= set(receiving.ids))
        assert [event_id for event_id in receiving.ids if event_id in set(others)] == others
        healthy.set()
        await until(lambda: _has(api, created["id"], delivered=3050, lag=0, parked=0), 60)
        assert [i for i in dict.fromkeys(receiving.ids) if i not in set(others)] == blocked


async def test_slow_answers_hold_a_window_of_requests_that_grows(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = after(0.02, status(204))
        created = await api.create(feed, receiving.url)
        log.send(feed, 1000)
        await until(lambda: _has(api, created["id"], delivered=1000))
        assert 8 < receiving.most_waiting <= 64
        assert len({delivery.connection for delivery in receiving.deliveries}) <= 64


async def test_an_event_in_flight_is_not_taken_for_delivered(api: Api, log: Log) -> None:
    feed = log.feed()
    ids = log.send(feed, 10)
    answered = asyncio.Event()
    async with receiver() as receiving:
        receiving.choose = lambda d: when(answered, status(204)) if d.id == ids[0] else None
        created = await api.create(feed, receiving.url, offset="-1")
        await until(lambda: _has(api, created["id"], delivered=9))
        assert await _has(api, created["id"], lag=1, in_flight=1)
        answered.set()
        await until(lambda: _has(api, created["id"], delivered=10, lag=0, in_flight=0))


async def test_a_feed_that_gets_more_partitions_is_delivered_whole(api: Api, log: Log) -> None:
    feed = log.feed(partitions=1)
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url)
        ids = log.send(feed, 5)
        log.admin.create_partitions([NewPartitions(feed, 3)])[feed].result()
        ids += await until(lambda: _sent(log, feed, partition=2))
        ids += log.send(feed, 5, partition=1)
        await until(lambda: set(ids) <= set(receiving.ids))
        await until(lambda: _has(api, created["id"], lag=0))
        assert Counter(receiving.ids) == Counter(ids)


def _sent(log: Log, feed: str, partition: int) -> list[str]:
    """Ids of events in a partition, or nothing where the producer does not know of it yet."""
    try:
        return log.send(feed, 5, partition=partition)
    except KafkaException:
        return []


async def test_dead_letters_are_a_feed_like_any(api: Api, log: Log) -> None:
    feed = log.feed()
    log.topic(f"{feed}.dead")
    async with receiver() as receiving:
        created = await api.create(f"{feed}.dead", receiving.url)
        ids = log.send(f"{feed}.dead", 3)
        await until(lambda: len(receiving.deliveries) >= 3)
        assert sorted(receiving.ids) == sorted(ids)
        assert created["feed"] == f"{feed}.dead"


async def test_a_feed_made_again_is_delivered_from_its_beginning_and_not_misread(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url)
        log.send(feed, 20)
        await until(lambda: _has(api, created["id"], delivered=20))
        log.admin.delete_topics([feed])[feed].result()
        await until(lambda: feed not in log.admin.list_topics().topics)
        log.topic(feed)
        ids = log.send(feed, 5)
        await until(lambda: set(ids) <= set(receiving.ids), 60)
        assert (await api.status(created["id"]))["epoch"] > 0
        assert Counter(receiving.ids)[ids[0]] == 1
