"""A record of the log as every mode of delivery sees it: decoded at most once per process, and only when asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from confluent_kafka import Message

from headrace.schemas.codec import Codec
from headrace.schemas.event import KafkaHeaders, event_id, to_structured_json

OBJECTS_BYTES = 1500
"""Of the objects around key, value and headers, as measured with seven headers."""


def memory_bytes(size_bytes: int, count: int) -> int:
    """About what records take once their headers and their JSON were asked for, as of most they are."""
    return 2 * size_bytes + OBJECTS_BYTES * count


class Record:
    """One record of one partition. `json()` is built on first use and shared by all who read the record."""

    __slots__ = ("_id", "_json", "message", "offset", "partition", "size_bytes")

    def __init__(self, message: Message, partition: int, offset: int) -> None:
        self.message = message
        self.partition = partition
        self.offset = offset
        self.size_bytes = len(message) + 300  # the allowance is for the key, the headers and the objects around them
        self._id: str | None = None
        self._json: bytes | None = None

    @property
    def memory_bytes(self) -> int:
        """About what it takes."""
        return memory_bytes(self.size_bytes, 1)

    @property
    def id(self) -> str:
        """The event's id."""
        if self._id is None:
            self._id = event_id(self.headers, self.message.topic() or "", self.partition, self.offset)
        return self._id

    @property
    def headers(self) -> KafkaHeaders:
        """The record's headers, in their order."""
        return cast("KafkaHeaders", self.message.headers() or ())

    @property
    def key(self) -> bytes | None:
        """The record's key."""
        return self.message.key()

    @property
    def timestamp_ms(self) -> int:
        """When the event was accepted, or -1 where the record does not say."""
        return self.message.timestamp()[1]

    def json(self, codec: Codec, defaults: Mapping[str, str]) -> bytes:
        """The event as structured CloudEvents JSON, in one line."""
        if self._json is None:
            message = self.message
            made = to_structured_json(
                codec,
                defaults,
                topic=message.topic() or "",
                partition=self.partition,
                offset=self.offset,
                timestamp_ms=message.timestamp()[1],
                key=message.key(),
                value=message.value(),
                headers=self.headers,
            )
            # orjson's own takes 4 KB, however short it is: a copy takes what it says.
            self._json = bytes(memoryview(made))
        return self._json
