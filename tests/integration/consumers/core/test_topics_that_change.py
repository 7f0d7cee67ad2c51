from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from support.waiting import until

from headrace.consumers.core.position import MalformedPosition, PositionGone
from headrace.consumers.core.tail import UnknownFeed
from headrace.kafka.offsets import UnknownTopic


@pytest.fixture
def admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka})


def values(records: list[Any]) -> list[bytes]:
    return [record.message.value() for record in records]


def known(write: Callable[..., None], *arguments: Any, **options: Any) -> bool:
    """Write, unless the producer does not know the partition yet."""
    try:
        write(*arguments, **options)
    except KafkaException:
        return False
    return True


async def make_again(admin: AdminClient, topic: str, partitions: int = 1) -> None:
    admin.delete_topics([topic])[topic].result()

    def made() -> bool:
        try:
            admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
        except Exception:
            return False
        return True

    await until(made)


async def test_partitions_that_are_added_join_at_their_beginning(
    admin: AdminClient,
    make_feed: Callable[..., str],
    open_tail: Callable[..., Any],
    write: Callable[..., None],
    drain: Callable[..., Any],
) -> None:
    feed = make_feed(1)
    write(feed, [b"1", b"2"])
    async with open_tail() as tail:
        feed_log = await tail.log(feed)
        records, position = await drain(feed_log, (0,))
        token = feed_log.token(position)
        waiting = asyncio.ensure_future(feed_log.wait(position, 30))
        admin.create_partitions([NewPartitions(feed, 3)])[feed].result()
        await until(lambda: len(feed_log.rings) == 3)
        await until(lambda: known(write, feed, [b"3", b"4"], partition=2))
        assert await waiting
        await feed_log.refresh()
        more, position = await drain(feed_log, await feed_log.resolve(token))
        assert values(records + more) == [b"1", b"2", b"3", b"4"]
        assert position == (2, 0, 2)


async def test_a_token_with_partitions_that_were_just_added_is_taken_by_a_process_that_had_not_seen_them(
    admin: AdminClient,
    make_feed: Callable[..., str],
    open_tail: Callable[..., Any],
    write: Callable[..., None],
    drain: Callable[..., Any],
) -> None:
    feed = make_feed(1)
    write(feed, [b"1", b"2"])
    async with open_tail() as one, open_tail() as other:
        log, other_log = await one.log(feed), await other.log(feed)
        admin.create_partitions([NewPartitions(feed, 3)])[feed].result()
        await until(lambda: log.has_partitions(3))
        await until(lambda: known(write, feed, [b"3", b"4"], partition=2))
        await log.refresh()
        records, position = await drain(log, (0,), 3)
        assert len(position) == 3
        assert await other_log.resolve(log.token(position)) == position
        await until(lambda: known(write, feed, [b"5"], partition=2))
        await other_log.refresh()
        more, _ = await drain(other_log, position)
        assert sorted(values(records + more)) == [b"1", b"2", b"3", b"4", b"5"]
        with pytest.raises(MalformedPosition, match="more partitions"):
            await other_log.resolve(other_log.token((0, 0, 0, 0)))


@pytest.mark.parametrize("ring_bytes", [0, 2**24])
async def test_a_position_that_retention_passed_is_gone_and_never_a_silent_gap(
    admin: AdminClient,
    make_feed: Callable[..., str],
    open_tail: Callable[..., Any],
    write: Callable[..., None],
    drain: Callable[..., Any],
    ring_bytes: int,
) -> None:
    feed = make_feed(2)
    for p in range(2):
        write(feed, [b"%d" % n for n in range(100)], partition=p)
    async with open_tail(ring_bytes=ring_bytes) as tail:
        feed_log = await tail.log(feed)
        first = await feed_log.read((0, 0), 10)
        admin.delete_records([TopicPartition(feed, 1, 60)])[TopicPartition(feed, 1)].result()
        for position in ((0, 0), (100, 59), first.position):
            with pytest.raises(PositionGone) as caught:
                await drain(feed_log, position, 33)
            assert caught.value.earliest == (0, 60)
            with pytest.raises(PositionGone):
                await feed_log.check(position)
        await feed_log.check((0, 60))
        records, position = await drain(feed_log, caught.value.earliest)
        assert len(records) == 140
        assert position == feed_log.tail


async def test_a_token_of_a_topic_that_was_made_again_is_gone_and_its_data_is_never_the_old(
    admin: AdminClient,
    make_feed: Callable[..., str],
    open_tail: Callable[..., Any],
    write: Callable[..., None],
    drain: Callable[..., Any],
) -> None:
    feed = make_feed()
    write(feed, [b"old-%d" % n for n in range(20)])
    async with open_tail() as tail:
        feed_log = await tail.log(feed)
        batch = await feed_log.read((0,), 5)
        await drain(feed_log, (0,), 100)  # what the history has cached now must not be served later
        token = feed_log.token(batch.position)
        await make_again(admin, feed)
        write(feed, [b"new-%d" % n for n in range(30)])
        with pytest.raises(PositionGone):
            await feed_log.read((7,), 3)  # before anybody noticed: the offset is there, and is another's
        await until(lambda: feed_log.gone)
        again = await tail.log(feed)
        assert again is not feed_log
        with pytest.raises(PositionGone) as caught:
            await again.resolve(token)
        assert caught.value.earliest == (0,)
        records, position = await drain(again, (0,), 100)
        assert values(records) == [b"new-%d" % n for n in range(30)]
        write(feed, [b"new-30"])
        await again.refresh()
        more, _ = await drain(again, position)
        assert values(more) == [b"new-30"]


async def test_a_topic_that_is_deleted_is_unknown_and_comes_back(
    admin: AdminClient, make_feed: Callable[..., str], open_tail: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(2)
    async with open_tail() as tail:
        feed_log = await tail.log(feed)
        waiting = asyncio.ensure_future(feed_log.wait(feed_log.tail, 30))
        admin.delete_topics([feed])[feed].result()
        await waiting
        assert feed_log.gone
        with pytest.raises(UnknownTopic):
            await tail.log(feed)
        await until(lambda: admin.create_topics([NewTopic(feed, 2, 1)])[feed].exception() is None)
        write(feed, [b"1"], partition=1)

        async def found() -> bool:
            try:
                again = await tail.log(feed)
            except UnknownTopic:
                return False
            await again.refresh()
            return values((await again.read((0, 0), 10)).records) == [b"1"]

        await until(found)


async def test_a_token_of_another_feed_is_malformed_and_not_gone(
    make_feed: Callable[..., str], open_tail: Callable[..., Any]
) -> None:
    one, other = make_feed(), make_feed()
    async with open_tail() as tail:
        token = (await tail.log(one)).token((0,))
        with pytest.raises(MalformedPosition, match="another feed"):
            await (await tail.log(other)).resolve(token)


async def test_an_unknown_feed_is_told_from_a_feed_without_a_topic(
    kafka: str, admin: AdminClient, make_feed: Callable[..., str], open_tail: Callable[..., Any]
) -> None:
    feed = make_feed()
    async with open_tail() as tail:
        with pytest.raises(UnknownFeed):
            await tail.log("no.such.feed")
        with pytest.raises(UnknownTopic):
            await tail.log(f"{feed}.dead")


async def test_a_partition_whose_reading_broke_off_is_followed_again_without_loss_or_repeat(
    admin: AdminClient,
    make_feed: Callable[..., str],
    open_tail: Callable[..., Any],
    write: Callable[..., None],
    drain: Callable[..., Any],
) -> None:
    feed = make_feed(2)
    write(feed, [b"%d" % n for n in range(10)])
    async with open_tail() as tail:
        feed_log = await tail.log(feed)
        # Away from its place to one that retention passed, as a process that stood still for long would find itself.
        admin.delete_records([TopicPartition(feed, 0, 5)])[TopicPartition(feed, 0)].result()
        follower = tail._follower
        await follower.unfollow([TopicPartition(feed, 0)])
        write(feed, [b"%d" % n for n in range(10, 20)])
        await follower.follow([TopicPartition(feed, 0, 1)])
        await until(lambda: feed_log.rings[0].start == 20)
        write(feed, [b"%d" % n for n in range(20, 30)])
        await feed_log.refresh()
        records, _ = await drain(feed_log, (5, 0), 7)
        assert values(records) == [b"%d" % n for n in range(5, 30)]
        assert not tail._recovering


async def test_what_is_old_leaves_the_memory_and_is_read_from_kafka(
    make_feed: Callable[..., str], open_tail: Callable[..., Any], write: Callable[..., None], drain: Callable[..., Any]
) -> None:
    feed = make_feed()
    async with open_tail(ring_age_s=0.1) as tail:
        feed_log = await tail.log(feed)
        write(feed, [b"1", b"2"])
        await feed_log.refresh()
        assert feed_log.read_rings((0,), 10) is not None
        await until(lambda: feed_log.read_rings((0,), 10) is None)
        records, _ = await drain(feed_log, (0,))
        assert values(records) == [b"1", b"2"]


async def test_large_records_do_not_come_by_the_thousand(
    make_feed: Callable[..., str], open_tail: Callable[..., Any], write: Callable[..., None], drain: Callable[..., Any]
) -> None:
    feed = make_feed(2)
    for p in range(2):
        write(feed, [b"x" * 500_000] * 40, partition=p)
    for ring_bytes in (0, 2**26):
        async with open_tail(ring_bytes=ring_bytes) as tail:
            feed_log = await tail.log(feed)
            write(feed, [b"x" * 500_000] * 20, partition=1)
            await feed_log.refresh()
            position, count = (0, 0), 0
            while position != feed_log.tail:
                batch = await feed_log.read(position, 1000, 2**20)
                assert 0 < sum(record.size_bytes for record in batch.records) < 16 * 2**20
                position, count = batch.position, count + len(batch.records)
            assert count == sum(feed_log.tail)
