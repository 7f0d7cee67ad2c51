"""A compacted topic as a mapping in memory: loaded to its end, then followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

import structlog
from confluent_kafka import KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace import metrics
from headrace.kafka.bridge import Headers
from headrace.kafka.follower import Follower
from headrace.kafka.offsets import KafkaUnavailable, Offsets

log = structlog.get_logger(__name__)

STALL_S = 10.0
MARK = "mark"
"""The header by which whoever wrote a record knows it again."""

V = TypeVar("V")


class Table(Mapping[str, V], Generic[V]):
    """The latest value of every key of a topic; a tombstone removes its key.

    Read it from the event loop only: that is where it changes. `decode` makes a value from a record's value; where it
    raises, the record is logged with its offset, counted, and leaves its key as it was. `marked` says that each
    partition has one writer at a time, who writes in transactions: so its last offset is always the marker of one.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        admin: AdminClient,
        topic: str,
        decode: Callable[[bytes], V],
        on_change: Callable[[str, V | None], None] | None = None,
        *,
        marked: bool = False,
    ) -> None:
        self.topic = topic
        self._marked = marked
        self._offsets = Offsets(admin)
        self._decode = decode
        self._on_change = on_change
        self._entries: dict[str, V] = {}
        self.unreadable: set[str] = set()
        """The keys whose latest records could not be decoded."""
        self._positions: list[int] = []
        self._expected: dict[bytes, bool] = {}
        self._moved = asyncio.Event()
        self._follower = Follower(kafka, name=f"table-{topic}", on_batch=self._take)

    async def load(self) -> None:
        """Read the topic to its end; raises `UnknownTopic` or `KafkaUnavailable`."""
        identity = await self._offsets.identity(self.topic)
        self._positions = [0] * identity.partitions
        beginnings = await self._offsets.beginnings(self.topic, identity.partitions)
        await self._follower.follow(TopicPartition(self.topic, p, at) for p, at in enumerate(beginnings))
        for partition, end in enumerate(await self._offsets.ends(self.topic, identity.partitions)):
            await self.reach(partition, end)

    async def catch_up(self, *partitions: int) -> None:
        """Wait until all that consumers could read of some partitions, or of all, before this call is in the mapping.

        A transaction that has just been committed is not yet among it: Kafka answers first, and marks its records then.
        Raises `KafkaUnavailable`, also when nothing more came for 10 s.
        """
        ends = await self._offsets.ends(self.topic, len(self._positions))
        for partition in partitions or range(len(ends)):
            # A consumer passes a marker only with what follows it, or after a tenth of a second.
            await self.reach(partition, ends[partition] - self._marked)

    async def reach(self, partition: int, offset: int) -> None:
        """Wait until all of a partition that lies before an offset is in the mapping; raises as `catch_up` does."""
        while self._positions[partition] < offset:
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), STALL_S)
            except TimeoutError:
                raise KafkaUnavailable(f"nothing came of {self.topic} for {STALL_S:.0f} s") from None

    @contextmanager
    def expecting(self, mark: bytes) -> Iterator[None]:
        """Meanwhile note whether a record comes whose header `MARK` says this."""
        self._expected[mark] = False
        try:
            yield
        finally:
            del self._expected[mark]

    def came(self, mark: bytes) -> bool:
        """Whether a record of an expected mark has come."""
        return self._expected[mark]

    def _take(self, batch: list[Message]) -> None:
        for message in batch:
            partition, offset = message.partition() or 0, message.offset() or 0
            if (error := message.error()) is None:
                self._apply(message)
                offset += 1
            elif error.code() != KafkaError._PARTITION_EOF:
                log.error("table_read_failed", topic=self.topic, partition=partition, reason=error.str())
                metrics.errors.labels("table").inc()
                continue
            self._positions[partition] = max(self._positions[partition], offset)
        self._moved.set()

    def _apply(self, message: Message) -> None:
        if self._expected:
            self._note_marks(message)
        key = (message.key() or b"").decode("utf-8", "replace")
        body = message.value()
        self.unreadable.discard(key)
        if body is None:
            value = None
            self._entries.pop(key, None)
        else:
            try:
                value = self._entries[key] = self._decode(body)
            except Exception as error:  # others may write to the topic too
                self.unreadable.add(key)
                self._failed("table_record_skipped", message, error)
                return
        if self._on_change is not None:
            try:
                self._on_change(key, value)
            except Exception as error:
                self._failed("table_change_failed", message, error)

    def _note_marks(self, message: Message) -> None:
        for name, value in cast("Headers", message.headers() or ()):
            if name == MARK and isinstance(value, bytes) and value in self._expected:
                self._expected[value] = True

    def _failed(self, what: str, message: Message, error: Exception) -> None:
        place = {"topic": self.topic, "partition": message.partition(), "offset": message.offset()}
        log.error(what, **place, reason=repr(error))
        metrics.errors.labels("table").inc()

    def __getitem__(self, key: str) -> V:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    async def close(self) -> None:
        """Stop following."""
        await self._follower.close()
