"""Events: as they are read, and as they are to be written. Both are CloudEvents 1.0."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """An event that was read. `raw` is the CloudEvent as it came; everything else is a view of it."""

    raw: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The same in every delivery of the event, whatever the mode: drop repeats by it."""
        return str(self.raw["id"])

    @property
    def type(self) -> str:
        """What happened."""
        return str(self.raw["type"])

    @property
    def source(self) -> str:
        """Where it happened."""
        return str(self.raw["source"])

    @property
    def time(self) -> str | None:
        """When it happened, as RFC 3339 text."""
        return _text(self.raw.get("time"))

    @property
    def subject(self) -> str | None:
        """What it is about, within the source."""
        return _text(self.raw.get("subject"))

    @property
    def data(self) -> Any:
        """The event's own content: from JSON, or bytes where the feed holds bytes. None in a tombstone."""
        if (encoded := self.raw.get("data_base64")) is not None:
            return base64.b64decode(encoded)
        return self.raw.get("data")

    @property
    def data_error(self) -> str | None:
        """Why the gateway could not decode the value; `data` is then its bytes."""
        return _text(self.raw.get("dataerror"))

    @property
    def key(self) -> str | None:
        """The record's key: events of one key are in order."""
        return _text(self.raw.get("partitionkey"))

    @property
    def partition(self) -> int:
        """The partition of the feed that it lies in; -1 where the event is not of a feed."""
        return int(self.raw.get("partition", -1))

    @property
    def sequence(self) -> int:
        """Its offset in the partition: events are in order within one; -1 where the event is not of a feed."""
        return int(self.raw.get("sequence", -1))


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be written with attributes of its own. `data` is what JSON can hold, or bytes for a feed of bytes.

    Sent again, it is the same event: id and time are its own, not those of an attempt.
    """

    type: str
    source: str
    data: Any = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    subject: str | None = None
    extensions: Mapping[str, str | int | bool] = field(default_factory=dict)

    def structured(self) -> dict[str, Any]:
        """The event in CloudEvents' structured mode."""
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": self.source,
            "time": self.time,
        }
        if self.subject is not None:
            event["subject"] = self.subject
        event |= self.extensions
        if isinstance(self.data, bytes):
            event["data_base64"] = base64.b64encode(self.data).decode()
        else:
            event["data"] = self.data
        return event


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
