"""The events of the benchmarks: JSON of 200 bytes, written and read with librdkafka alone as the reference."""

from __future__ import annotations

import time
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 6
FEED = f'description = "Of the benchmarks."\nformat = "json"\nkey = "key"\npartitions = {PARTITIONS}\n'


def event(number: int) -> dict[str, Any]:
    """An event whose JSON takes 200 bytes."""
    value: dict[str, Any] = {"number": number, "key": f"key-{number % 1000}", "text": ""}
    value["text"] = "x" * (200 - len(orjson.dumps(value)))
    return value


def make_topic(bootstrap_servers: str, topic: str) -> None:
    """Make a topic with the partitions of the benchmarks' feed."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()


def produce(bootstrap_servers: str, topic: str, count: int) -> float:
    """Write events with librdkafka alone, idempotent and acknowledged by all; returns events a second."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 2,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 0,
        }
    )
    ready = [(str(n % 1000), orjson.dumps(event(n))) for n in range(count)]
    headers: list[tuple[str, str | bytes | None]] = [("ce_id", "0"), ("ce_type", "bench"), ("ce_source", "/bench")]
    started = time.perf_counter()
    for key, value in ready:
        producer.produce(topic, value, key, headers=headers)
        producer.poll(0)
    assert producer.flush(60) == 0
    return count / (time.perf_counter() - started)


def consume(bootstrap_servers: str, topic: str, count: int) -> float:
    """Read events with librdkafka alone; returns events a second."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "reference"})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    seen = len(consumer.consume(1, 30))
    started = time.perf_counter()
    first = seen
    while seen < count:
        seen += len(consumer.consume(5000, 1))
    consumer.close()
    return (seen - first) / (time.perf_counter() - started)


def written_bytes(bootstrap_servers: str, topic: str) -> int:
    """Bytes of keys and values in a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "look", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    size_bytes = ended = 0
    while ended < len(partitions):
        for message in consumer.consume(1000, 0.1):
            if message.error() is None:
                size_bytes += len(message) + len(message.key() or b"")
            else:
                ended += 1
    consumer.close()
    return size_bytes
