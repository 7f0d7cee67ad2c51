"""Making topics: once, idempotently, and visible before anybody uses them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.kafka.offsets import Offsets, TopicIdentity, UnknownTopic

log = structlog.get_logger(__name__)

COMPACTED = {
    "cleanup.policy": "compact",
    # Small segments that are cleaned early: what a new owner reads is what counts, not all that was ever written.
    "segment.bytes": str(16 * 2**20),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "3600000",
}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to make if it is not there. An existing one is left as it is."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


async def ensure_topics(
    admin: AdminClient, specs: Iterable[TopicSpec], *, replication_factor: int = -1, timeout_s: float = 30.0
) -> dict[str, int]:
    """Make the missing topics and wait until the brokers know them. Returns the number of partitions of each.

    Several processes may do this at once. Raises `KafkaException` where the cluster refuses, `TimeoutError` after
    `timeout_s`.
    """
    wanted = list(specs)
    async with asyncio.timeout(timeout_s):
        known = await asyncio.to_thread(lambda: admin.list_topics(timeout=timeout_s).topics)
        missing = [spec for spec in wanted if spec.name not in known]
        if not missing:
            return {spec.name: len(known[spec.name].partitions) for spec in wanted}
        futures = admin.create_topics(
            [NewTopic(s.name, s.partitions, replication_factor, config=dict(s.config)) for s in missing]
        )
        for name, future in futures.items():
            try:
                await asyncio.wrap_future(future)
                log.info("topic_created", topic=name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        offsets = Offsets(admin)
        return {
            spec.name: (await _visible(offsets, spec.name)).partitions
            if spec in missing
            else len(known[spec.name].partitions)
            for spec in wanted
        }


async def create_topic(
    admin: AdminClient, spec: TopicSpec, *, replication_factor: int = -1, timeout_s: float = 30.0
) -> TopicIdentity:
    """Make a topic that is not there, and wait until the brokers know it; raises as `ensure_topics`."""
    new = NewTopic(spec.name, spec.partitions, replication_factor, config=dict(spec.config))
    async with asyncio.timeout(timeout_s):
        # Else the client would send it as soon as Kafka is back, though nobody waits any more.
        await asyncio.wrap_future(admin.create_topics([new], request_timeout=timeout_s)[spec.name])
        return await _visible(Offsets(admin), spec.name)


async def delete_topic(admin: AdminClient, topic: str) -> None:
    """Delete a topic; one that is not there is no error. Raises `KafkaException`."""
    try:
        await asyncio.wrap_future(admin.delete_topics([topic])[topic])
        log.info("topic_deleted", topic=topic)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise


async def _visible(offsets: Offsets, topic: str) -> TopicIdentity:
    while True:
        try:
            return await offsets.identity(topic)
        except UnknownTopic:
            await asyncio.sleep(0.01)


def keyless_partition(event_id: str, partitions: int) -> int:
    """Where an event without a key goes: by its id, so that a repeat meets the first one, and is known for one."""
    return zlib.crc32(event_id.encode()) % partitions
