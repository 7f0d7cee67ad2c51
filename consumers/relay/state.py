"""What is kept of a subscription in `headrace.positions`: keys, values, and what a new owner makes of them.

| key | value | |
|---|---|---|
| `<subscription>\\0base\\0<epoch>` | offset | the offset token of where the subscription was moved to |
| `<subscription>\\0lane\\0<epoch>\\0<partition>\\0<writer>` | position, done | how far a lane came, and what is done \
ahead of it |
| `<subscription>\\0parked\\0<epoch>\\0<partition>\\0<offset>` | attempt, due, key | an event that waits for its retry |
| `<subscription>\\0leased\\0<epoch>\\0<grant>` | until, events | what one call leased, see `grant` |
| `<subscription>\\0endpoint` | of the breaker | how its endpoint stands: counts in every epoch |
| `<subscription>\\0snapshot\\0<name>` | offset, at | a position that was given a name: counts in every epoch |

`<subscription>` is `Subscription.state_key`: its id and the time it was made, separated by `\\0`.

A seek begins a new epoch, and only what is of the newest counts. The epoch is in the keys: a relay that was frozen in
the middle of its work, and wakes when another owns the subscription, writes and removes what is of its own epoch only.
Of the same epoch what it says is true, but old: so the record of a lane has its writer in its key, overwrites nobody
else's, and a new owner takes what any of them says is done for done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from headrace.consumers.core.position import Position, widen
from headrace.consumers.relay.grant import Grant, grant_key

Run = tuple[int, int]

Place = tuple[int, int]
"""Partition and offset of an event."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A reference to an event that failed: never its payload. `due_ms` is milliseconds since 1970.

    `key` is its `order_key`. `dead` is the offset of its dead letter, where the log itself does not have it any more.
    `leased`: until `due_ms` somebody holds it who was given it by delivery `attempt`.
    """

    partition: int
    offset: int
    attempt: int
    due_ms: int
    key: bytes | None = None
    dead: int | None = None
    leased: bool = False


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane: everything below `position` is done or parked, and so are the runs `[from, to)` of `done` above it."""

    position: int
    done: tuple[Run, ...] = ()

    def together(self, other: LaneState | None) -> LaneState:
        """What is done by either."""
        if other is None:
            return self
        position = max(self.position, other.position)
        done: list[Run] = []
        for first, end in sorted([*self.done, *other.done]):
            if first <= position:
                position = max(position, end)
            elif done and first <= done[-1][1]:
                done[-1] = (done[-1][0], max(done[-1][1], end))
            else:
                done.append((first, end))
        return LaneState(position, tuple(done))


@dataclass(frozen=True, slots=True)
class Saved:
    """A position that was given a name: its offset token, and when, in RFC 3339."""

    offset: str
    at: str


@dataclass(slots=True)
class Stored:
    """The state of one subscription as its owner found it. `base` is an offset token.

    `stale` holds the keys of older epochs: what a seek has left behind, to be removed. `writer` is the number that its
    owner writes lanes under: since when it is the owner. `lane_keys` are those of the records of each lane.

    `unsure`, which only a runner here hands on, are the places of references that may be in Kafka, and may not.
    """

    epoch: int = 0
    writer: int = 0
    base: str | None = None
    lanes: dict[int, LaneState] = field(default_factory=dict)
    lane_keys: dict[int, set[bytes]] = field(default_factory=dict)
    parked: list[Parked] = field(default_factory=list)
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    snapshots: dict[str, Saved] = field(default_factory=dict)
    stale: list[bytes] = field(default_factory=list)
    unsure: frozenset[Place] = frozenset()

    def lane(self, partition: int, base: Position) -> LaneState:
        """A lane; one that was never written begins where the subscription begins.

        A parked event is settled, even where the lane's own record, which is written later, does not say so.
        """
        lane = self.lanes.get(partition) or LaneState(widen(base, partition + 1)[partition])
        parked = [(p.offset, p.offset + 1) for p in self.parked if p.partition == partition]
        return LaneState(lane.position, tuple(sorted([*lane.done, *parked]))) if parked else lane

    def keys(self, subscription: str) -> list[bytes]:
        """The keys of all that is kept."""
        snapshots = (snapshot_key(subscription, name) for name in self.snapshots)
        return [endpoint_key(subscription), *snapshots, *self.keys_of_epoch(subscription)]

    def keys_of_epoch(self, subscription: str) -> list[bytes]:
        """The keys of what does not count once it is moved."""
        return [
            base_key(subscription, self.epoch),
            *(key for keys in self.lane_keys.values() for key in keys),
            *(parked_key(subscription, self.epoch, parked.partition, parked.offset) for parked in self.parked),
            *(parked_key(subscription, self.epoch, *place) for place in self.unsure),
            *(grant_key(subscription, self.epoch, grant) for grant in self.grants),
            *self.stale,
        ]


def next_epoch(epoch: int, owned_since_ms: int) -> int:
    """The epoch of a seek: above all that an earlier owner, who does not know that it is one, may still begin.

    An owner counts on from the time, since 1970, at which it became one: its successor became one when its session had
    ended, after more milliseconds than it can have had seeks, or than clocks differ.
    """
    return max(epoch + 1, owned_since_ms)


def base_record(subscription: str, epoch: int, offset: str) -> tuple[bytes, bytes]:
    """Key and value that move a subscription to an offset token."""
    return base_key(subscription, epoch), orjson.dumps({"offset": offset})


def lane_record(subscription: str, epoch: int, writer: int, partition: int, lane: LaneState) -> tuple[bytes, bytes]:
    """Key and value of a lane."""
    value = {"position": lane.position, "done": lane.done}
    return f"{subscription}\0lane\0{epoch}\0{partition}\0{writer}".encode(), orjson.dumps(value)


def endpoint_record(subscription: str, endpoint: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Key and value of how an endpoint stands."""
    return endpoint_key(subscription), orjson.dumps(endpoint)


def endpoint_key(subscription: str) -> bytes:
    """Key of how an endpoint stands."""
    return f"{subscription}\0endpoint".encode()


def base_key(subscription: str, epoch: int) -> bytes:
    """Key of where a subscription was moved to."""
    return f"{subscription}\0base\0{epoch}".encode()


def parked_record(subscription: str, epoch: int, parked: Parked) -> tuple[bytes, bytes]:
    """Key and value of a parked event."""
    value: dict[str, Any] = {"attempt": parked.attempt, "due": parked.due_ms}
    if parked.key is not None:
        value["key"] = parked.key.hex()
    if parked.dead is not None:
        value["dead"] = parked.dead
    if parked.leased:
        value["leased"] = True
    return parked_key(subscription, epoch, parked.partition, parked.offset), orjson.dumps(value)


def parked_key(subscription: str, epoch: int, partition: int, offset: int) -> bytes:
    """Key of a parked event; with a null value it is parked no more."""
    return f"{subscription}\0parked\0{epoch}\0{partition}\0{offset}".encode()


def snapshot_record(subscription: str, name: str, saved: Saved) -> tuple[bytes, bytes]:
    """Key and value of a position with a name."""
    return snapshot_key(subscription, name), orjson.dumps({"offset": saved.offset, "at": saved.at})


def snapshot_key(subscription: str, name: str) -> bytes:
    """Key of a position with a name."""
    return f"{subscription}\0snapshot\0{name}".encode()


def subscription_of(key: bytes) -> str:
    """The `state_key` of the subscription that a key belongs to."""
    return b"\0".join(key.split(b"\0", 2)[:2]).decode()


def name_of(state_key: str) -> str:
    """The id of the subscription that a `state_key` belongs to."""
    return state_key.partition("\0")[0]


def stored(records: Iterable[tuple[bytes, bytes]]) -> Stored:
    """The state of one subscription from its latest records; raises ValueError for what is not such a record."""
    found = Stored()
    entries: list[tuple[bytes, str, int, list[str], bytes]] = []
    for key, value in records:
        _, _, kind, *place = key.decode().split("\0")
        if kind == "endpoint":
            found.endpoint = orjson.loads(value)
        elif kind == "snapshot":
            found.snapshots[place[0]] = Saved(**orjson.loads(value))
        else:
            entries.append((key, kind, int(place[0]), place[1:], value))
    # One that was never moved has no base, and is in epoch 0.
    found.epoch = max((epoch for _, kind, epoch, _, _ in entries if kind == "base"), default=0)
    for key, kind, epoch, place, value in entries:
        if epoch != found.epoch:
            found.stale.append(key)
        elif kind == "base":
            found.base = orjson.loads(value)["offset"]
        elif kind == "lane":
            partition, told = int(place[0]), orjson.loads(value)
            lane = LaneState(told["position"], tuple((a, b) for a, b in told["done"]))
            found.lanes[partition] = lane.together(found.lanes.get(partition))
            found.lane_keys.setdefault(partition, set()).add(key)
        elif kind == "leased":
            found.grants[place[0]] = Grant.from_bytes(value)
        elif kind == "parked":
            found.parked.append(_parked(int(place[0]), int(place[1]), orjson.loads(value)))
    return found


def _parked(partition: int, offset: int, told: Mapping[str, Any]) -> Parked:
    key = bytes.fromhex(told["key"]) if "key" in told else None
    dead, leased = told.get("dead"), told.get("leased", False)
    return Parked(partition, offset, told["attempt"], told["due"], key, dead, leased)
