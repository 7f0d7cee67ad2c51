"""A grant: the events that one call leased, written to `headrace.positions` before the call is answered.

One record for all of them, however many. It counts for an event until the event is settled, parked, or in a later one.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Leased:
    """One event of a grant. `number` says which of its deliveries this is; `key` is its `order_key`."""

    partition: int
    offset: int
    number: int
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What was leased together, until a time in milliseconds since 1970."""

    until_ms: int
    events: tuple[Leased, ...]

    def to_bytes(self) -> bytes:
        """The record's value."""
        events = [
            (e.partition, e.offset, e.number) if e.key is None else (e.partition, e.offset, e.number, e.key.hex())
            for e in self.events
        ]
        return orjson.dumps({"until": self.until_ms, "events": events})

    @classmethod
    def from_bytes(cls, value: bytes) -> Grant:
        """A grant from a record; raises ValueError."""
        told = orjson.loads(value)
        events = tuple(Leased(p, offset, n, *map(bytes.fromhex, key)) for p, offset, n, *key in told["events"])
        return cls(told["until"], events)


def grant_record(subscription: str, epoch: int, name: str, grant: Grant) -> tuple[bytes, bytes]:
    """Key and value of a grant. `name` is one that no other owner gives."""
    return grant_key(subscription, epoch, name), grant.to_bytes()


def grant_key(subscription: str, epoch: int, name: str) -> bytes:
    """Key of a grant; with a null value nothing of it counts any more."""
    return f"{subscription}\0leased\0{epoch}\0{name}".encode()
