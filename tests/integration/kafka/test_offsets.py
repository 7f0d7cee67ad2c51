from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from support.waiting import until

from headrace.broker.properties import free_port
from headrace.kafka.offsets import KafkaUnavailable, Offsets, UnknownTopic
from headrace.kafka.topics import TopicSpec, ensure_topics


@pytest.fixture
def admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka})


async def test_beginnings_and_ends_of_every_partition(
    kafka: str, admin: AdminClient, new_topic: Callable[..., str]
) -> None:
    topic, offsets = new_topic(3), Offsets(admin)
    producer = Producer({"bootstrap.servers": kafka})
    for number in range(10):
        producer.produce(topic, b"x", partition=number % 2)
    producer.flush(30)
    admin.delete_records([TopicPartition(topic, 1, 2)])[TopicPartition(topic, 1)].result()
    assert await offsets.ends(topic, 3) == [5, 5, 0]
    assert await offsets.beginnings(topic, 3) == [0, 2, 0]


async def test_the_end_is_the_last_stable_offset(kafka: str, admin: AdminClient, new_topic: Callable[..., str]) -> None:
    topic, offsets = new_topic(1), Offsets(admin)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"x", partition=0)
    producer.flush(30)
    assert await offsets.ends(topic, 1) == [0]
    producer.commit_transaction(30)

    async def moved() -> bool:
        return await offsets.ends(topic, 1) == [2]

    await until(moved)  # the marker is written after the commit is acknowledged


async def test_the_first_offset_that_is_not_older_than_a_time(
    kafka: str, admin: AdminClient, new_topic: Callable[..., str]
) -> None:
    topic, offsets = new_topic(2), Offsets(admin)
    producer = Producer({"bootstrap.servers": kafka})
    for number in range(10):
        producer.produce(topic, b"x", partition=0, timestamp=1_357_016_400_000 + number * 1000)
    producer.flush(30)
    assert await offsets.at_time(topic, 2, 0) == [0, 0]
    assert await offsets.at_time(topic, 2, 1_357_016_403_000) == [3, 0]
    assert await offsets.at_time(topic, 2, 1_357_016_403_001) == [4, 0]
    assert await offsets.at_time(topic, 2, 1_357_016_500_000) == [10, 0]


async def test_a_topic_that_is_not_there_is_unknown(admin: AdminClient) -> None:
    with pytest.raises(UnknownTopic):
        await Offsets(admin).identity("no-such-topic")


async def test_a_kafka_that_is_away_is_unavailable_in_time() -> None:
    offsets = Offsets(AdminClient({"bootstrap.servers": f"127.0.0.1:{free_port()}", "log_level": 0}), timeout_s=0.5)
    async with asyncio.timeout(5):
        for question in (offsets.identity("t"), offsets.ends("t", 1), offsets.at_time("t", 1, 0)):
            with pytest.raises(KafkaUnavailable):
                await question


async def test_several_at_once_make_the_same_topics_and_leave_existing_ones_as_they_are(
    admin: AdminClient, new_topic: Callable[..., str]
) -> None:
    existing = new_topic(3)
    name = f"{existing}-made"
    specs = [TopicSpec(existing, 7), TopicSpec(name, 2, {"cleanup.policy": "compact"})]
    await asyncio.gather(*(ensure_topics(admin, specs) for _ in range(5)))
    offsets = Offsets(admin)
    assert (await offsets.identity(existing)).partitions == 3
    assert (await offsets.identity(name)).partitions == 2
