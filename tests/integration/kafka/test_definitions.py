"""Values that several processes change at once, and records that are written with them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from support.waiting import until

from headrace.kafka.bridge import Ack, Outgoing
from headrace.kafka.definitions import Definitions
from headrace.kafka.offsets import KafkaUnavailable
from headrace.kafka.topics import TopicSpec
from headrace.kafka.transaction import Transaction
from headrace.kafka.transactional_producer import TransactionalProducer


@contextlib.asynccontextmanager
async def definitions_of(servers: str, topic: str, partitions: int = 1) -> AsyncIterator[Definitions[int]]:
    client: dict[str, Any] = {"bootstrap.servers": servers}
    definitions = Definitions[int](
        client, AdminClient(client), TopicSpec(topic, partitions), from_bytes=orjson.loads, to_bytes=orjson.dumps
    )
    try:
        await definitions.load()
        yield definitions
    finally:
        await definitions.close()


def same(definitions: Definitions[int], wanted: dict[str, int]) -> bool:
    return dict(definitions) == wanted


def committed(servers: str, topic: str, count: int) -> list[bytes]:
    """The values of a topic, as those see it who read what is committed."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "x", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[bytes] = []
    while len(found) < count:
        if (message := consumer.poll(10)) is None:
            break
        assert message.error() is None
        found.append(message.value() or b"")
    assert consumer.poll(0.5) is None
    consumer.close()
    return found


async def test_changes_of_two_processes_are_made_one_after_the_other(kafka: str, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    async with definitions_of(kafka, topic) as one, definitions_of(kafka, topic) as two:

        async def count(definitions: Definitions[int]) -> None:
            for _ in range(8):
                await definitions.change("n", lambda n: (n or 0) + 1)

        await asyncio.gather(count(one), count(two), count(one))
        for definitions in (one, two):
            # A commit is answered a little before readers see it.
            await until(partial(same, definitions, {"n": 24}))


async def test_a_change_whose_answer_is_lost_is_made_once(
    kafka: str, new_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, log = new_topic(), new_topic()
    async with definitions_of(kafka, topic) as one, definitions_of(kafka, topic) as two:
        commit, left = TransactionalProducer.commit, [True]

        async def unheard(producer: TransactionalProducer, records: Sequence[Outgoing]) -> list[Ack]:
            acks = await commit(producer, records)
            if left:
                left.clear()
                await two.change("n", lambda n: (n or 0) + 10)
                raise KafkaException(KafkaError(KafkaError._FENCED))
            return acks

        monkeypatch.setattr(TransactionalProducer, "commit", unheard)

        def change(transaction: Transaction[int]) -> int:
            n = (transaction.get("n") or 0) + 1
            transaction.put("n", n)
            transaction.send([Outgoing(log, None, b"%d" % n)], lambda final, acks: None)
            return n

        assert await one.transact(0, change) == 1
        assert dict(one) == {"n": 11}
        await until(partial(same, two, {"n": 11}))
    assert committed(kafka, log, 1) == [b"1"]


async def test_records_are_written_with_the_change_or_not_at_all(kafka: str, new_topic: Callable[..., str]) -> None:
    topic, log = new_topic(2), new_topic()

    async with definitions_of(kafka, topic, 2) as one, definitions_of(kafka, topic, 2) as two:

        async def write(definitions: Definitions[int]) -> list[int]:
            def change(transaction: Transaction[int]) -> int:
                n = (transaction.get("n") or 0) + 1
                transaction.put("n", n)
                transaction.send([Outgoing(log, None, b"%d" % n, partition=0)], lambda final, acks: None)
                return n

            return [await definitions.transact(1, change) for _ in range(8)]

        numbers = await asyncio.gather(write(one), write(two))
        assert sorted([*numbers[0], *numbers[1]]) == list(range(1, 17))
    assert await asyncio.to_thread(committed, kafka, log, 16) == [b"%d" % n for n in range(1, 17)]


async def test_a_record_that_kafka_does_not_take_fails_its_own_change_only(
    kafka: str, new_topic: Callable[..., str]
) -> None:
    topic, log = new_topic(), new_topic(config={"max.message.bytes": "10000"})
    async with definitions_of(kafka, topic) as definitions:

        def write(n: int, size_bytes: int) -> Callable[[Transaction[int]], int]:
            def change(transaction: Transaction[int]) -> int:
                transaction.put(f"n{n}", n)
                value = os.urandom(size_bytes)  # else compression would make it small
                transaction.send([Outgoing(log, None, value, partition=0)], lambda final, acks: None)
                return n

            return change

        sizes = [10, 10, 500_000, 10]
        made = await asyncio.gather(
            *(definitions.transact(0, write(n, size)) for n, size in enumerate(sizes)), return_exceptions=True
        )
        assert [m for m in made if isinstance(m, int)] == [0, 1, 3]
        assert isinstance(made[2], KafkaUnavailable)
        assert dict(definitions) == {"n0": 0, "n1": 1, "n3": 3}


async def test_a_change_that_does_not_want_to_is_not_made_and_harms_no_other(
    kafka: str, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    async with definitions_of(kafka, topic) as definitions:

        def refuse(n: int | None) -> int:
            raise LookupError("not today")

        made = asyncio.gather(definitions.change("a", lambda _: 1), definitions.change("b", lambda _: 2))
        with pytest.raises(LookupError):
            await definitions.change("a", refuse)
        await made
        assert dict(definitions) == {"a": 1, "b": 2}
        assert await definitions.change("a", lambda n: n) == 1
        assert await definitions.change("a", lambda _: None) is None
        assert dict(definitions) == {"b": 2}
