"""Removing streams. A stream is gone at once; that its topic is still to be deleted is kept until that is done."""

from __future__ import annotations

from collections import deque
from functools import partial

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from headrace.durable.stream import Retired, Stream, Value, partition_of, retired_key
from headrace.durable.table import StreamTable, now_ms
from headrace.kafka.topics import delete_topic
from headrace.kafka.transaction import Transaction

log = structlog.get_logger(__name__)


class UnknownStream(Exception):
    """No stream has this name, or it has expired."""


class Removal:
    """Removes streams of a table."""

    def __init__(self, table: StreamTable, admin: AdminClient) -> None:
        self._table = table
        self._admin = admin
        self._doubtful: deque[Stream] = deque()

    async def remove(self, name: str, *, expired: bool) -> None:
        """Remove a stream, one that has expired or one that has not; raises `UnknownStream`, `KafkaUnavailable`."""

        def change(transaction: Transaction[Value]) -> Stream:
            present = transaction.get(name)
            if not isinstance(present, Stream) or present.has_expired(now_ms()) != expired:
                raise UnknownStream(name)
            self.retire(transaction, present)
            transaction.put(name, None)
            return present

        removed = await self._table.definitions.transact(partition_of(name), change)
        await self.clear(retired_key(removed), Retired(name, removed.topic))

    def retire(self, transaction: Transaction[Value], stream: Stream) -> None:
        """Forget the producers of a stream that is no more, or never was, and remember to delete its topic."""
        transaction.put(retired_key(stream), Retired(stream.name, stream.topic))
        for key in self._table.producers.get(stream.id, ()):
            transaction.put(key, None)

    def doubt(self, stream: Stream) -> None:
        """Note a stream of which it is not known whether it was made, though its topic may be there."""
        self._doubtful.append(stream)

    async def settle_doubts(self) -> None:
        """Retire those that were not made. Raises `KafkaUnavailable`: then the next sweep looks again.

        When a change looks, what the failed one wrote before it has come or never will; see `FencedWriter`.
        """
        while self._doubtful:
            stream = self._doubtful[0]
            await self._table.definitions.transact(partition_of(stream.name), partial(self._retire_unmade, stream))
            self._doubtful.popleft()

    def _retire_unmade(self, stream: Stream, transaction: Transaction[Value]) -> None:
        present = transaction.get(stream.name)
        if not isinstance(present, Stream) or present.id != stream.id:
            self.retire(transaction, stream)

    async def clear(self, key: str, retired: Retired) -> None:
        """Delete the topic of a stream that is no more, and forget that this was to do. Raises `KafkaUnavailable`."""
        try:
            await delete_topic(self._admin, retired.topic)
        except KafkaException as error:
            # The next sweep tries again.
            log.warning("stream_topic_not_deleted", topic=retired.topic, reason=str(error))
            return
        await self._table.definitions.change(key, lambda _: None, partition_of(retired.name))
