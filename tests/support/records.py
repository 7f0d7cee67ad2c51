"""What lies in a topic, as a plain consumer sees it."""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition


def records_of(servers: str, topic: str, count: int, timeout_s: float = 30.0) -> list[Message]:
    """All records of a topic, at least `count`; raises AssertionError where there are fewer."""
    config = {
        "bootstrap.servers": servers,
        "group.id": "test",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    consumer = Consumer(config)
    try:
        partitions = consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
        records: list[Message] = []
        ended: set[int | None] = set()
        deadline = time.monotonic() + timeout_s
        while (len(ended) < len(partitions) or len(records) < count) and time.monotonic() < deadline:
            for message in consumer.consume(1000, 0.2):
                error = message.error()
                if error is None:
                    records.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
        assert len(records) >= count, f"{len(records)} of {count} records"
        return records
    finally:
        consumer.close()
