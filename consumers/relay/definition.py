"""What a subscription is: its definition, as it lies in the compacted topic `headrace.subscriptions`."""

from __future__ import annotations

import secrets
import zlib
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import orjson

from headrace.kafka.topics import TopicSpec

Ordering = Literal["none", "key"]
State = Literal["active", "paused"]

POSITION_PARTITIONS = 24
COMPACTED = {
    "cleanup.policy": "compact",
    # Small segments that are cleaned early: what a new owner reads is what counts, not all that was ever written.
    "segment.bytes": str(16 * 2**20),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "3600000",
}
SUBSCRIPTIONS = TopicSpec("headrace.subscriptions", 1, COMPACTED)
POSITIONS = TopicSpec("headrace.positions", POSITION_PARTITIONS, COMPACTED)
OWNERS = TopicSpec("headrace.owners", 1, COMPACTED)
TOPICS = (SUBSCRIPTIONS, POSITIONS, OWNERS)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A durable reader with a name. `start` is an offset token: where it begins unless it was moved since."""

    id: str
    feed: str
    url: str
    secret: str = field(repr=False)
    start: str
    created: str
    mode: Literal["webhook"] = "webhook"
    ordering: Ordering = "none"
    state: State = "active"
    description: str = ""

    def to_bytes(self) -> bytes:
        """The record's value."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_bytes(cls, value: bytes) -> Subscription:
        """A definition from a record; raises ValueError. Fields of a newer version are left out."""
        try:
            members = orjson.loads(value)
            return cls(**{f.name: members[f.name] for f in fields(cls) if f.name in members})
        except (orjson.JSONDecodeError, TypeError) as error:
            raise ValueError(f"not a subscription: {error}") from error

    @property
    def state_key(self) -> str:
        """What the keys of its state begin with: one made again under the name of another goes on from nothing."""
        return f"{self.id}\0{self.created}"

    def public(self) -> dict[str, Any]:
        """The definition as shown: without the secret."""
        members = asdict(self)
        del members["secret"]
        return members


def new_subscription_id() -> str:
    """A name for a subscription that was not given one."""
    return f"sub_{secrets.token_hex(10)}"


def position_partition(subscription_id: str) -> int:
    """The partition of `headrace.positions` that holds a subscription: who owns it owns the subscription."""
    return zlib.crc32(subscription_id.encode()) % POSITION_PARTITIONS
