"""Reading a range of a topic: an assigned consumer that stays where its last read ended, until nobody reads on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace.consumers.core.record import Record, memory_bytes
from headrace.kafka.offsets import KafkaUnavailable, TopicIdentity

log = structlog.get_logger(__name__)

STALL_S = 10.0

Places = Mapping[int, int]
"""An offset for each of some partitions."""


class OffsetGone(Exception):
    """An offset is no longer in the log."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"{topic}:{partition}:{offset}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of a topic, in order within each partition, and where each of the partitions asked for stands after."""

    records: list[Record]
    after: Places
    memory_bytes: int


class Cursor:
    """A consumer and where it stands. Used by one thread at a time: `read` blocks."""

    def __init__(self, config: Mapping[str, Any], closing: threading.Event) -> None:
        self._consumer = Consumer({**config, "error_cb": _log_error})
        self._closing = closing
        self._topic: TopicIdentity | None = None
        self._next: dict[int, int] = {}
        self.used_s = 0.0

    @property
    def stands_somewhere(self) -> bool:
        """Whether it reads ahead of the next read."""
        return self._topic is not None

    def stands_at(self, topic: TopicIdentity, start: Places) -> bool:
        """Whether a read from there needs no seek."""
        return topic == self._topic and all(self._next.get(p) == offset for p, offset in start.items())

    def read(self, topic: TopicIdentity, start: Places, end: Places, limit: int, max_bytes: int) -> Chunk:
        """At most `limit` records of the ranges `[start, end)`, about `max_bytes`. Blocks.

        Raises `OffsetGone`, or `KafkaUnavailable` when nothing came for 10 s or `closing` is set.
        """
        unread = {p for p, offset in start.items() if offset < end[p]}
        records: list[Record] = []
        size_bytes = 0
        deadline = time.monotonic() + STALL_S
        try:
            self._go_to(topic, start)
            while unread and len(records) < limit and size_bytes < max_bytes:
                left, unread_before = limit - len(records), len(unread)
                # consume(n, t) waits all of t unless n records come; so wait for one, then take what is there.
                batch = self._consumer.consume(1, 0.1)
                if batch and left > 1:
                    batch += self._consumer.consume(left - 1, 0)
                size_bytes += self._take(batch, topic.topic, end, records, unread)
                # What comes of partitions that were read to their end is no progress.
                if len(records) > limit - left or len(unread) < unread_before:
                    deadline = time.monotonic() + STALL_S
                elif time.monotonic() > deadline or self._closing.is_set():
                    if records:
                        break
                    raise KafkaUnavailable(f"nothing came of {topic.topic} for {STALL_S:.0f} s")
        except BaseException:
            self._topic = None  # where it stands is not known any more
            raise
        finally:
            self.used_s = time.monotonic()
        if not unread:
            self.leave()
        after = {p: min(self._next[p], max(end[p], start[p])) for p in start}
        return Chunk(records, after, memory_bytes(size_bytes, len(records)))

    def leave(self) -> None:
        """Stand nowhere. At the end of a partition the next read would have to wait for an answer about what is new."""
        self._consumer.unassign()
        self._topic = None

    def _go_to(self, topic: TopicIdentity, start: Places) -> None:
        if self.stands_at(topic, start):
            if extra := self._next.keys() - start.keys():
                self._consumer.incremental_unassign([TopicPartition(topic.topic, p) for p in extra])
        else:
            if topic != self._topic:
                # Else it looks for the leaders of topics that are new to it once a second only.
                with contextlib.suppress(KafkaException):
                    self._consumer.list_topics(topic.topic, STALL_S)
            self._consumer.assign([TopicPartition(topic.topic, p, offset) for p, offset in start.items()])
        self._topic = topic
        self._next = dict(start)

    def _take(self, batch: list[Message], topic: str, end: Places, records: list[Record], unread: set[int]) -> int:
        """Add what messages bring to the records; gives its size in bytes."""
        size_bytes, places = 0, self._next
        for message in batch:
            partition, offset = message.partition() or 0, message.offset() or 0
            if partition not in places or message.topic() != topic:
                continue  # left over from an assignment before
            error = message.error()
            if error is None:
                if offset < places[partition]:
                    continue
                places[partition] = offset + 1
                if offset < end[partition]:
                    record = Record(message, partition, offset)
                    records.append(record)
                    size_bytes += record.size_bytes
            elif error.code() == KafkaError._PARTITION_EOF:
                places[partition] = max(places[partition], offset)
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise OffsetGone(topic, partition, places[partition])
            else:
                raise KafkaUnavailable(error.str())
            if places[partition] >= end[partition]:
                unread.discard(partition)
        return size_bytes

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()


def _log_error(error: KafkaError) -> None:
    log.warning("kafka_consumer_error", client="history", code=error.name(), reason=error.str())
