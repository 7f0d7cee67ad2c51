"""What one change sees of a compacted topic, and what it writes: there and elsewhere, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from headrace.kafka.bridge import Ack, Outgoing

V = TypeVar("V")


class Transaction(Generic[V]):
    """Handed to a change, another each time that it is tried. Changes made together see what those before them put."""

    def __init__(self, present: Mapping[str, V], before: Mapping[str, V | None]) -> None:
        self.values: dict[str, V | None] = {}
        self.records: list[Outgoing] = []
        self.acknowledged: Callable[[Transaction[V], list[Ack]], None] | None = None
        self._present = present
        self._before = before

    def get(self, key: str) -> V | None:
        """The value of a key, or None where there is none."""
        for values in (self.values, self._before):
            if key in values:
                return values[key]
        return self._present.get(key)

    def put(self, key: str, value: V | None) -> None:
        """Give a key another value; None takes it away."""
        self.values[key] = value

    def send(self, records: list[Outgoing], acknowledged: Callable[[Transaction[V], list[Ack]], None]) -> None:
        """Write records, also none, to other topics, besides a value. Once it is known where they lie `acknowledged` is
        called. It is given what all changes that are made together have put, and may still put. Those of earlier
        changes are called first.
        """
        self.records += records
        self.acknowledged = acknowledged
