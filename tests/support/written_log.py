"""A topic that a test writes and whose every event it knows, to compare with what a reader sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from headrace.consumers.core.position import Position

KNOWN_S = 30.0


@dataclass(frozen=True, slots=True)
class Written:
    """An event: its number in the whole log, what a filter may ask for, and its key."""

    n: int
    kind: str
    key: str

    def value(self, padding_bytes: int) -> bytes:
        return orjson.dumps({"n": self.n, "kind": self.kind, "padding": "x" * padding_bytes})


FILTERS: Mapping[str, Callable[[Written], bool]] = {
    "data.kind == 'a'": lambda event: event.kind == "a",
    "data.n >= 30 && data.kind != 'b'": lambda event: event.n >= 30 and event.kind != "b",
    "data.nothing == 1": lambda event: False,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What of the log a reader wants, as the query has it."""

    filter: str | None = None
    key: str | None = None
    partition: int | None = None

    def params(self) -> dict[str, str]:
        named = {"filter": self.filter, "key": self.key, "partition": self.partition}
        return {name: str(value) for name, value in named.items() if value is not None}

    def wants(self, partition: int, event: Written) -> bool:
        return (
            (self.filter is None or FILTERS[self.filter](event))
            and self.key in (None, event.key)
            and self.partition in (None, partition)
        )


class WrittenLog:
    """Per partition, the events in their order: the offset of each is its place."""

    def __init__(self, servers: str, topic: str, partitions: int) -> None:
        self.topic = topic
        self.partitions: list[list[Written]] = [[] for _ in range(partitions)]
        self._count = 0
        self._admin = AdminClient({"bootstrap.servers": servers})
        self._client = {"bootstrap.servers": servers, "linger.ms": 0, "enable.idempotence": True}
        self._producer = Producer(self._client)

    @property
    def end(self) -> Position:
        """The position after all that was written."""
        return tuple(len(events) for events in self.partitions)

    def write(self, partition: int, count: int, kind: str, key: str, padding_bytes: int) -> None:
        """Write events to a partition; they are there when this returns. Blocks."""
        offsets: list[int | None] = []
        for _ in range(count):
            event = Written(self._count, kind, key)
            self._count += 1
            self.partitions[partition].append(event)  # before it is written: a reader may be quick
            self._produce(partition, event, padding_bytes, offsets)
        assert self._producer.flush(KNOWN_S) == 0, "events were not acknowledged"
        assert offsets == list(range(len(self.partitions[partition]) - count, len(self.partitions[partition])))

    def _produce(self, partition: int, event: Written, padding_bytes: int, offsets: list[int | None]) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            offsets.append(message.offset())

        value, key = event.value(padding_bytes), event.key.encode()
        self._producer.produce(self.topic, value, key, partition, on_delivery=delivered)
        self._producer.poll(0)

    def grow(self) -> None:
        """Add a partition, which can be written to when this returns. Blocks."""
        self.partitions.append([])  # before it is made: a gateway may be quick
        wanted = len(self.partitions)
        self._admin.create_partitions([NewPartitions(self.topic, wanted)])[self.topic].result(KNOWN_S)
        deadline = time.monotonic() + KNOWN_S
        while len(self._admin.list_topics(self.topic, KNOWN_S).topics[self.topic].partitions) < wanted:
            assert time.monotonic() < deadline, "the added partition is not told of"
        self._producer = Producer(self._client)  # the one before learns of it only after a while

    def between(self, start: Position, end: Position, choice: Choice) -> list[list[tuple[int, int]]]:
        """Per partition, offset and number of the events between two positions that are wanted."""
        return [
            [(offset, events[offset].n) for offset in range(first, beyond) if choice.wants(p, events[offset])]
            for p, (events, first, beyond) in enumerate(zip(self.partitions, start, end, strict=False))
        ]

    def has_more(self, start: Position, choice: Choice) -> bool:
        """Whether events after a position are wanted."""
        return any(
            choice.wants(p, events[offset])
            for p, (events, first) in enumerate(zip(self.partitions, start, strict=False))
            for offset in range(first, len(events))
        )
