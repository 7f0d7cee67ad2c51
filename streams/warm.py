"""Reading back which events a partition holds, so that a restart does not forget what may be repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from headrace.kafka.follower import consumer_config
from headrace.kafka.offsets import RETRIABLE, KafkaUnavailable
from headrace.streams.dedup import Seen

QUIET_S = 30.0
"""Kafka may be silent for this long before reading back is given up."""


async def warm(seen: Seen, kafka: Mapping[str, Any], topic: str, partition: int, before: int) -> None:
    """Add to `seen` the ids of the records below the offset `before` that it has missed.

    Reads at most the horizon. Records without `ce_id` have an id of their own and cannot be repeats. Raises
    `KafkaUnavailable` when nothing has come for `QUIET_S`.
    """
    missing = seen.missing_before(before)
    if missing:
        await asyncio.to_thread(_read, seen, kafka, TopicPartition(topic, partition, missing.start), before)
    seen.passed(before - 1)


def _read(seen: Seen, kafka: Mapping[str, Any], start: TopicPartition, before: int) -> None:
    # Retention may have passed the start: then the oldest record that is left will do.
    consumer = Consumer({**consumer_config(kafka, "dedup"), "auto.offset.reset": "earliest"})
    consumer.assign([start])
    quiet_since = time.monotonic()
    try:
        while True:
            for message in consumer.consume(1, 0.1) + consumer.consume(4999, 0):
                quiet_since = time.monotonic()
                offset, error = message.offset() or 0, message.error()
                if offset >= before or (error is not None and error.code() == KafkaError._PARTITION_EOF):
                    return
                if error is not None:
                    if error.code() not in RETRIABLE:
                        raise KafkaException(error)
                else:
                    for header in message.headers() or ():
                        if header[0] == "ce_id" and isinstance(header[1], bytes):
                            seen.add(header[1], offset)
                if offset == before - 1:
                    return
            if time.monotonic() - quiet_since > QUIET_S:
                raise KafkaUnavailable(f"{start.topic}[{start.partition}] could not be read back for {QUIET_S:.0f} s")
    finally:
        consumer.close()
