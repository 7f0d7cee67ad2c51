"""Questions to Kafka about offsets and topics, as coroutines. Each is one request for all partitions, about 1 ms."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

RETRIABLE = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._NOENT,
    KafkaError._UNKNOWN_PARTITION,
}
"""Errors that pass by themselves: a topic just made, a leader just moved, a broker just restarted."""


class KafkaUnavailable(Exception):
    """Kafka did not answer in time."""


class UnknownTopic(Exception):
    """Kafka has no such topic."""


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """A topic as it is now. A topic that is deleted and made again has another `topic_id`."""

    topic: str
    topic_id: str
    partitions: int


class Offsets:
    """Asks one cluster. Raises `KafkaUnavailable` after `timeout_s`."""

    def __init__(self, admin: AdminClient, timeout_s: float = 10.0) -> None:
        self._admin = admin
        self._timeout_s = timeout_s

    async def identity(self, topic: str) -> TopicIdentity:
        """Id and partition count of a topic; raises `UnknownTopic`."""
        future = self._admin.describe_topics(TopicCollection([topic]), request_timeout=self._timeout_s)[topic]
        try:
            found = await asyncio.wrap_future(future)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise UnknownTopic(topic) from None
            raise KafkaUnavailable(str(error)) from error
        return TopicIdentity(topic, str(found.topic_id), len(found.partitions))

    async def ends(self, topic: str, partitions: int) -> list[int]:
        """Per partition, the offset that the next committed record gets (the last stable offset)."""
        return await self._list(topic, partitions, OffsetSpec.latest())

    async def beginnings(self, topic: str, partitions: int) -> list[int]:
        """Per partition, the offset of the oldest record that is kept."""
        return await self._list(topic, partitions, OffsetSpec.earliest())

    async def at_time(self, topic: str, partitions: int, timestamp_ms: int) -> list[int]:
        """Per partition, the first offset whose record is not older than the time; the end where there is none."""
        # The ends first: a record that comes between the two questions is behind the answer, whichever it is.
        ends = await self.ends(topic, partitions)
        found = await self._list(topic, partitions, OffsetSpec.for_timestamp(timestamp_ms))
        return [end if at == -1 else at for at, end in zip(found, ends, strict=True)]

    async def _list(self, topic: str, partitions: int, spec: OffsetSpec) -> list[int]:
        now = asyncio.get_running_loop().time
        deadline = now() + self._timeout_s
        while True:
            futures: Mapping[TopicPartition, Future[Any]] = self._admin.list_offsets(
                {TopicPartition(topic, p): spec for p in range(partitions)},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=max(deadline - now(), 0.1),
            )
            try:
                found = await asyncio.gather(*(asyncio.wrap_future(f) for f in futures.values()))
                return [result.offset for result in found]
            except KafkaException as error:
                code = error.args[0].code()
                if code not in RETRIABLE or now() > deadline:
                    raise KafkaUnavailable(str(error)) from error
            await asyncio.sleep(0.05)
            # The admin client would ask with the old leader's epoch for minutes: make it look at the topic anew.
            with contextlib.suppress(KafkaException):
                await asyncio.to_thread(self._admin.list_topics, topic, max(deadline - now(), 0.1))
