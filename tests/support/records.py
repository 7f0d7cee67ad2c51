"""What lies in a topic, as a plain consumer sees it."""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition


def records_of(servers: str, topic: str, count: int, timeout_s: float = 30.0) -> list[Message]:
    """All records of a topic, at least `count`; raises AssertionError where there are fewer."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=timeout_s)[1] for p in partitions}
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
        records: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while len(records) < sum(ends.values()) and time.monotonic() < deadline:
            records += [message for message in consumer.consume(1000, 0.2) if message.error() is None]
        assert len(records) >= count, f"{len(records)} of {count} records"
        return records
    finally:
        consumer.close()
