"""Definitions in a compacted topic: followed by whoever needs them, and changed by one at a time (`fenced_writer`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, Generic, TypeVar

from confluent_kafka.admin import AdminClient

from headrace.kafka.fenced_writer import Change, FencedWriter
from headrace.kafka.table import Table
from headrace.kafka.topics import TopicSpec
from headrace.kafka.transaction import Transaction

V = TypeVar("V")
T = TypeVar("T")


class Definitions(Mapping[str, V], Generic[V]):
    """Values by their keys. `on_change` is told of every change, its own ones too, on the event loop.

    Each partition is written under a transactional id of its own. Which partition a key belongs to is for the caller
    to say, always the same; so keys that are changed together can be put into one.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        admin: AdminClient,
        topic: TopicSpec,
        *,
        from_bytes: Callable[[bytes], V],
        to_bytes: Callable[[V], bytes],
        on_change: Callable[[str, V | None], None] | None = None,
    ) -> None:
        self._table = Table(kafka, admin, topic.name, from_bytes, on_change, marked=True)
        name = topic.name
        ids = [name] if topic.partitions == 1 else [f"{name}.{p}" for p in range(topic.partitions)]
        self._writers = [
            FencedWriter(kafka, self._table, partition, transactional_id, to_bytes)
            for partition, transactional_id in enumerate(ids)
        ]

    @property
    def unreadable(self) -> Set[str]:
        """The keys whose latest records could not be read: of a newer version, or of somebody else."""
        return self._table.unreadable

    async def load(self) -> None:
        """Read all; raises `UnknownTopic` or `KafkaUnavailable`."""
        await self._table.load()

    async def catch_up(self) -> None:
        """Wait for all that was written before this call; raises `KafkaUnavailable`."""
        await self._table.catch_up()

    async def transact(self, partition: int, change: Change[V, T]) -> T:
        """Make a change of values of a partition, and write other records with it; see `FencedWriter.run`."""
        return await self._writers[partition].run(change)

    async def change(self, key: str, change: Callable[[V | None], V | None], partition: int = 0) -> V | None:
        """Put what `change` makes of a value (None: there is none) in its place, and return it.

        `change` raises where it does not want to: then nothing is written. It may be called more than once. Raises
        `KafkaUnavailable` where it is not known whether the change was written.
        """

        def changed(transaction: Transaction[V]) -> V | None:
            present = transaction.get(key)
            value = change(present)
            if value is not present:
                transaction.put(key, value)
            return value

        return await self._writers[partition].run(changed)

    def __getitem__(self, key: str) -> V:
        return self._table[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    async def close(self) -> None:
        """Finish the changes that were begun, and stop following."""
        for writer in self._writers:
            await writer.close()
        await self._table.close()
