"""What is kept of a subscription in `headrace.positions`: keys, values, and what a new owner makes of them.

| key | value | |
|---|---|---|
| `<subscription>\\0base` | epoch, offset | the offset token of where the subscription was last moved to |
| `<subscription>\\0lane\\0<partition>` | epoch, position, done | how far a lane came, and what is done ahead of it |
| `<subscription>\\0parked\\0<partition>\\0<offset>` | epoch, attempt, due, key | an event that waits for its retry |
| `<subscription>\\0endpoint` | of the breaker | how its endpoint stands: counts in every epoch |

`<subscription>` is `Subscription.state_key`: its id and the time it was made, separated by `\\0`.

Every other value carries the epoch that it was written under; a seek raises it, and what is of an older one does not
count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from headrace.consumers.core.position import Position, widen

Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Parked:
    """A reference to an event that failed: never its payload. `due_ms` is milliseconds since 1970.

    `dead` is the offset of its dead letter, where the log itself does not have it any more.
    """

    partition: int
    offset: int
    attempt: int
    due_ms: int
    key: bytes | None = None
    dead: int | None = None


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane: everything below `position` is done or parked, and so are the runs `[from, to)` of `done` above it."""

    position: int
    done: tuple[Run, ...] = ()


@dataclass(slots=True)
class Stored:
    """The state of one subscription as its owner found it. `base` is an offset token."""

    epoch: int = 0
    base: str | None = None
    lanes: dict[int, LaneState] = field(default_factory=dict)
    parked: list[Parked] = field(default_factory=list)
    endpoint: Mapping[str, Any] = field(default_factory=dict)

    def lane(self, partition: int, base: Position) -> LaneState:
        """A lane; one that was never written begins where the subscription begins.

        A parked event is settled, even where the lane's own record, which is written later, does not say so.
        """
        lane = self.lanes.get(partition) or LaneState(widen(base, partition + 1)[partition])
        parked = [(p.offset, p.offset + 1) for p in self.parked if p.partition == partition]
        return LaneState(lane.position, tuple(sorted([*lane.done, *parked]))) if parked else lane

    def keys(self, subscription: str) -> list[bytes]:
        """The keys of all that is kept."""
        return [base_key(subscription), endpoint_key(subscription), *self.keys_of_epoch(subscription)]

    def keys_of_epoch(self, subscription: str) -> list[bytes]:
        """The keys of what does not count once it is moved."""
        return [
            *(lane_key(subscription, partition) for partition in self.lanes),
            *(parked_key(subscription, parked.partition, parked.offset) for parked in self.parked),
        ]


def base_record(subscription: str, epoch: int, offset: str) -> tuple[bytes, bytes]:
    """Key and value that move a subscription to an offset token."""
    return base_key(subscription), orjson.dumps({"epoch": epoch, "offset": offset})


def lane_record(subscription: str, epoch: int, partition: int, lane: LaneState) -> tuple[bytes, bytes]:
    """Key and value of a lane."""
    value = {"epoch": epoch, "position": lane.position, "done": lane.done}
    return lane_key(subscription, partition), orjson.dumps(value)


def lane_key(subscription: str, partition: int) -> bytes:
    """Key of a lane."""
    return f"{subscription}\0lane\0{partition}".encode()


def endpoint_record(subscription: str, endpoint: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Key and value of how an endpoint stands."""
    return endpoint_key(subscription), orjson.dumps(endpoint)


def endpoint_key(subscription: str) -> bytes:
    """Key of how an endpoint stands."""
    return f"{subscription}\0endpoint".encode()


def base_key(subscription: str) -> bytes:
    """Key of where a subscription was last moved to."""
    return f"{subscription}\0base".encode()


def parked_record(subscription: str, epoch: int, parked: Parked) -> tuple[bytes, bytes]:
    """Key and value of a parked event."""
    value: dict[str, Any] = {"epoch": epoch, "attempt": parked.attempt, "due": parked.due_ms}
    if parked.key is not None:
        value["key"] = parked.key.hex()
    if parked.dead is not None:
        value["dead"] = parked.dead
    return parked_key(subscription, parked.partition, parked.offset), orjson.dumps(value)


def parked_key(subscription: str, partition: int, offset: int) -> bytes:
    """Key of a parked event; with a null value it is parked no more."""
    return f"{subscription}\0parked\0{partition}\0{offset}".encode()


def subscription_of(key: bytes) -> str:
    """The `state_key` of the subscription that a key belongs to."""
    return b"\0".join(key.split(b"\0", 2)[:2]).decode()


def stored(records: Iterable[tuple[bytes, bytes]]) -> Stored:
    """The state of one subscription from its latest records; raises ValueError for what is not such a record."""
    entries: list[tuple[list[str], Mapping[str, Any]]] = [
        (key.decode().split("\0")[2:], orjson.loads(value)) for key, value in records
    ]
    found = Stored()
    for kind, value in entries:
        if kind[0] == "base":
            found.epoch, found.base = value["epoch"], value["offset"]
        elif kind[0] == "endpoint":
            found.endpoint = value
    for kind, value in entries:
        if value.get("epoch") != found.epoch:
            continue
        if kind[0] == "lane":
            found.lanes[int(kind[1])] = LaneState(value["position"], tuple((a, b) for a, b in value["done"]))
        elif kind[0] == "parked":
            key = bytes.fromhex(value["key"]) if "key" in value else None
            reference = Parked(int(kind[1]), int(kind[2]), value["attempt"], value["due"], key, value.get("dead"))
            found.parked.append(reference)
    return found
