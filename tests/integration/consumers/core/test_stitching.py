from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from support.waiting import until

from headrace.broker import EmbeddedBroker
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.core.record import Record

PARTITIONS = 3


def numbers(records: list[Record], partition: int) -> list[int]:
    return [int(r.message.value() or b"") for r in records if r.partition == partition]


async def follow(feed_log: FeedLog, position: Position, until_sum: int, patience: random.Random) -> list[Record]:
    """Read on with breaks, so that the rings overtake the reader, until so many offsets are behind it."""
    records: list[Record] = []
    while sum(position) < until_sum:
        batch = await feed_log.read(position, patience.choice((3, 20, 100)))
        records += batch.records
        position = batch.position
        if not batch.records:
            assert await feed_log.wait(position, 10), position
        await asyncio.sleep(patience.choice((0, 0, 0.001, 0.02)))
    return records


@pytest.mark.parametrize("ring_bytes", [0, 5_000, 2**24])
async def test_readers_at_any_position_see_every_record_once_while_a_writer_goes_on(
    make_feed: Callable[..., str],
    open_tail: Callable[..., Any],
    write: Callable[..., None],
    ring_bytes: int,
) -> None:
    feed = make_feed(PARTITIONS)
    before, after = 200, 400
    for p in range(PARTITIONS):
        write(feed, [b"%d" % n for n in range(before)], partition=p)
    async with open_tail(ring_bytes=ring_bytes) as tail:
        feed_log = await tail.log(feed)

        async def go_on() -> None:
            for start in range(before, after, 10):
                for p in range(PARTITIONS):
                    values = [b"%d" % n for n in range(start, start + 10)]
                    await asyncio.to_thread(write, feed, values, partition=p)

        seeds = random.Random(7)
        starts: list[Position] = [(0, 0, 0), (before,) * 3, (before, 0, 100)]
        starts += [(seeds.randint(0, before), seeds.randint(0, before), seeds.randint(0, before)) for _ in range(5)]
        readers = [
            asyncio.ensure_future(follow(feed_log, start, after * PARTITIONS, random.Random(index)))
            for index, start in enumerate(starts)
        ]
        await go_on()
        for start, records in zip(starts, await asyncio.gather(*readers), strict=True):
            for p in range(PARTITIONS):
                assert numbers(records, p) == list(range(start[p], after))


async def test_a_reader_that_falls_behind_goes_back_to_history_and_on_to_the_ring_again(
    make_feed: Callable[..., str], open_tail: Callable[..., Any], write: Callable[..., None], drain: Callable[..., Any]
) -> None:
    feed = make_feed()
    async with open_tail(ring_bytes=3_000) as tail:
        feed_log = await tail.log(feed)
        records, position = await drain(feed_log, (0,))
        served_from_history = 0
        for start in range(0, 500, 50):
            write(feed, [b"%d" % n for n in range(start, start + 50)])
            await feed_log.refresh()
            served_from_history += feed_log.read_rings(position, 1) is None
            more, position = await drain(feed_log, position, limit=20)
            records += more
            write(feed, [b"%d" % -(start + 1)])
            await feed_log.refresh()
            assert feed_log.read_rings(position, 1) is not None
            more, position = await drain(feed_log, position)
            assert numbers(more, 0) == [-(start + 1)]
        assert served_from_history == 10
        assert numbers(records, 0) == list(range(500))


async def test_empty_partitions_hold_nobody_up(
    make_feed: Callable[..., str], open_tail: Callable[..., Any], write: Callable[..., None], drain: Callable[..., Any]
) -> None:
    feed = make_feed(6)
    write(feed, [b"%d" % n for n in range(50)], partition=4)
    for ring_bytes in (0, 2**24):
        async with open_tail(ring_bytes=ring_bytes) as tail:
            feed_log = await tail.log(feed)
            records, position = await drain(feed_log, await feed_log.resolve("-1"))
            assert numbers(records, 4) == list(range(50))
            assert position == (0, 0, 0, 0, 50, 0)
            assert not await feed_log.wait(position, 0.05)


async def test_a_reader_sees_its_own_write_at_once_after_its_acknowledgement(
    make_feed: Callable[..., str], open_tail: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(2)
    async with open_tail() as tail:
        feed_log = await tail.log(feed)
        position = feed_log.tail
        for number in range(50):
            await asyncio.to_thread(write, feed, [b"%d" % number], partition=number % 2)
            await asyncio.gather(feed_log.refresh(), feed_log.refresh())
            batch = await feed_log.read(position, 10)
            assert numbers(batch.records, number % 2) == [number]
            position = batch.position


async def test_many_refreshes_at_once_share_questions_and_none_is_answered_from_before_its_call(
    make_feed: Callable[..., str], open_tail: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    async with open_tail() as tail:
        feed_log = await tail.log(feed)

        async def write_and_look(number: int) -> None:
            await asyncio.to_thread(write, feed, [b"%d" % number])
            await feed_log.refresh()
            batch = feed_log.read_rings((0,), 1000)
            assert batch is not None
            assert number in numbers(batch.records, 0)

        await asyncio.gather(*(write_and_look(number) for number in range(60)))


async def write_transactions(servers: str, topic: str, partitions: int, rounds: int) -> list[int]:
    """Committed and aborted transactions in turn, in every partition; gives the numbers that were committed."""

    def work() -> list[int]:
        producer = Producer({"bootstrap.servers": servers, "transactional.id": f"t-{uuid.uuid4().hex}"})
        producer.init_transactions(30)
        counter, committed = itertools.count(), []
        for index in range(rounds):
            producer.begin_transaction()
            written = list(itertools.islice(counter, 1 + index % 4))
            for number in written:
                for partition in range(partitions):
                    producer.produce(topic, b"%d" % number, partition=partition)
            producer.flush(10)
            if index % 3:
                producer.commit_transaction(30)
                committed += written
            else:
                producer.abort_transaction(30)
        return committed

    return await asyncio.to_thread(work)


@pytest.mark.parametrize("ring_bytes", [0, 2_000, 2**24])
async def test_aborted_transactions_are_holes_that_nobody_sees(
    kafka: str,
    make_feed: Callable[..., str],
    open_tail: Callable[..., Any],
    write: Callable[..., None],
    drain: Callable[..., Any],
    ring_bytes: int,
) -> None:
    feed = make_feed(2)
    async with open_tail(ring_bytes=ring_bytes) as tail:
        feed_log = await tail.log(feed)
        committed = [*await write_transactions(kafka, feed, 2, 31), -1]
        for p in range(2):
            write(feed, [b"-1"], partition=p)

        async def all_stable() -> bool:
            await feed_log.refresh()
            records, _ = await drain(feed_log, (0, 0))
            return [n for p in range(2) for n in numbers(records, p)[-1:]] == [-1, -1]

        await until(all_stable)  # the last marker is written after its transaction is acknowledged
        for limit in (1, 3, 100):
            records, position = await drain(feed_log, (0, 0), limit)
            assert numbers(records, 0) == numbers(records, 1) == committed
            assert position == feed_log.tail
        # From within every hole too.
        for offset in range(feed_log.tail[0]):
            records, position = await drain(feed_log, (offset, feed_log.tail[1]))
            assert numbers(records, 0) == committed[len(committed) - len(records) :]
            assert position == feed_log.tail


async def test_a_read_that_begins_in_a_hole_before_the_ring_goes_on_to_the_ring(
    kafka: str, make_feed: Callable[..., str], open_tail: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    await write_transactions(kafka, feed, 1, 1)  # all of it aborted
    async with open_tail() as tail:
        feed_log = await tail.log(feed)
        assert feed_log.rings[0].start > 0
        write(feed, [b"7"])
        await feed_log.refresh()
        batch = await feed_log.read((0,), 10)
        assert numbers(batch.records, 0) == [7]
        assert batch.position == feed_log.tail


async def test_compaction_leaves_holes_that_nobody_sees(
    own_broker: EmbeddedBroker,
    make_feed: Callable[..., str],
    open_tail: Callable[..., Any],
    write: Callable[..., None],
    drain: Callable[..., Any],
) -> None:
    servers = own_broker.bootstrap_servers
    config = {"cleanup.policy": "compact", "segment.ms": "50", "min.cleanable.dirty.ratio": "0.01"}
    feed = make_feed(config=config, servers=servers)
    for number in range(300):
        write(feed, [b"%d" % number], key=b"%d" % (number % 7), servers=servers)

    async def offsets_kept() -> list[int]:
        write(feed, [b"-1"], key=b"roll", servers=servers)
        async with open_tail(servers=servers) as tail:
            records, _ = await drain(await tail.log(feed), (0,))
            return [record.offset for record in records]

    async def compacted() -> bool:
        return len(await offsets_kept()) < 200

    await until(compacted, every_s=0.2)
    for ring_bytes in (0, 2**24):
        async with open_tail(ring_bytes=ring_bytes, servers=servers) as tail:
            feed_log = await tail.log(feed)
            records, position = await drain(feed_log, (0,), 5)
            latest = {r.key: r for r in records}
            assert {key: int(r.message.value() or b"") for key, r in latest.items() if key != b"roll"} == {
                b"%d" % (number % 7): number for number in range(293, 300)
            }
            assert position == feed_log.tail
            for offset in range(0, position[0], 17):
                found, end = await drain(feed_log, (offset,))
                assert end == position
                # It may have been compacted further meanwhile; the latest of each key is never missed.
                offsets = [r.offset for r in found]
                assert offsets == sorted({r.offset for r in records if r.offset >= offset} & set(offsets))
                assert {r.offset for r in latest.values() if r.offset >= offset} <= set(offsets)
