"""What becomes of messages that are written to a stream, over all the transactions in which that is tried."""

from __future__ import annotations

import secrets
from dataclasses import replace

from headrace.durable.append import Appended
from headrace.durable.stream import Stream, Value
from headrace.kafka.bridge import Ack, Outgoing
from headrace.kafka.partitioner import key_partition
from headrace.kafka.transaction import Transaction


class Outcome:
    """Writes messages: those of one request, and of one `key`, to one partition, so that they keep their order."""

    def __init__(self, messages: list[bytes], key: str | None = None) -> None:
        self._messages = messages
        self._key = key or secrets.token_hex(4)
        self._written: Appended | None = None

    def write(self, transaction: Transaction[Value], appended: Appended) -> None:
        """Write the messages in a transaction, and then where the stream ends."""
        stream = appended.stream
        partition = key_partition(self._key.encode(), len(stream.end))

        def acknowledged(final: Transaction[Value], acks: list[Ack]) -> None:
            present = final.get(stream.name)
            if not isinstance(present, Stream) or present.id != stream.id:
                return  # another change of the same transaction has deleted it
            end = list(present.end)
            for ack in acks:
                end[ack.partition] = max(end[ack.partition], ack.offset + 1)
            final.put(stream.name, replace(present, end=tuple(end)))
            self._written = replace(appended, stream=replace(stream, end=tuple(end)))

        records = [Outgoing(stream.topic, None, message, partition=partition) for message in self._messages]
        transaction.send(records, acknowledged)

    def written(self, appended: Appended) -> Appended:
        """The latest try, with the stream's end; `appended` where there is none."""
        return self._written or appended
