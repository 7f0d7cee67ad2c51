"""What services tell in topics of their own, as a plain consumer sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition


def _all_of(servers: str, topic: str) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "look", "enable.partition.eof": True})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        records: list[Message] = []
        ended = 0
        while ended < len(partitions):
            for message in consumer.consume(1000, 0.1):
                if message.error() is None:
                    records.append(message)
                else:
                    ended += 1
        return records
    finally:
        consumer.close()


async def records(servers: str, topic: str) -> list[Message]:
    """All committed records of a topic, partition by partition; the event loop goes on meanwhile."""
    return await asyncio.to_thread(_all_of, servers, topic)


async def told(servers: str, topic: str, subscription: str) -> list[dict[str, Any]]:
    """What was told of a subscription in a feed of JSON that is keyed by subscriptions, in its order."""
    found = [message for message in await records(servers, topic) if message.key() == subscription.encode()]
    return [orjson.loads(message.value() or b"null") for message in found]


async def happened(servers: str, subscription: str) -> list[str]:
    """The names of what operators were told of a subscription, in their order."""
    return [told_of["event"] for told_of in await told(servers, "headrace.events", subscription)]
