"""What is kept of streams: values of the compacted topic `headrace.streams`."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass

import orjson

from headrace.durable.media_type import essence, is_json
from headrace.durable.token import encode_token, identity_of
from headrace.kafka.topics import COMPACTED, TopicSpec
from headrace.schemas.catalogue import Entry
from headrace.schemas.codec import BytesCodec, JsonCodec
from headrace.schemas.feed import Feed

PARTITIONS = 8
"""Streams of different ones are changed at the same time."""
STREAMS = TopicSpec("headrace.streams", PARTITIONS, COMPACTED)

TOUCH_SHARE = 0.1
"""The share of its time to live by which a stream may live longer: touches in that time are one."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream. Its topic is its own: a stream that is made again under the same name has another `id` and topic.

    `media_type` is as its maker wrote it. `ttl_s` counts from `touched_ms`, the last read or append; `expires_ms` is a
    time, and `expires` that time as it was given. `end` is the position after its last message, `seq` the last
    `Stream-Seq`.
    """

    name: str
    id: str
    topic: str
    topic_id: str
    media_type: str
    created_ms: int
    touched_ms: int
    end: tuple[int, ...]
    ttl_s: int | None = None
    expires_ms: int | None = None
    expires: str | None = None
    closed: bool = False
    seq: str | None = None

    @property
    def is_mortal(self) -> bool:
        """Whether it may expire."""
        return self.ttl_s is not None or self.expires_ms is not None

    @property
    def next_offset(self) -> str:
        """The offset token of its end."""
        return encode_token(self.end, identity_of(self.name, self.topic_id))

    def has_expired(self, now_ms: float) -> bool:
        """Whether it is no more: it was not touched for its time to live, or its time has come."""
        if self.expires_ms is not None and now_ms >= self.expires_ms:
            return True
        return self.ttl_s is not None and now_ms >= self.touched_ms + self.ttl_s * 1000 * (1 + TOUCH_SHARE)

    def needs_touch(self, now_ms: float) -> bool:
        """Whether a read or append now has to be written down, so that it lives on."""
        return self.ttl_s is not None and now_ms >= self.touched_ms + self.ttl_s * 1000 * TOUCH_SHARE

    def same_as(self, other: Stream) -> bool:
        """Whether who asks for one may have the other."""
        return (
            (essence(self.media_type), self.ttl_s, self.expires_ms, self.closed, len(self.end))
            == (essence(other.media_type), other.ttl_s, other.expires_ms, other.closed, len(other.end))
        )  # fmt: skip

    def entry(self) -> Entry:
        """It as a feed."""
        json = is_json(self.media_type)
        feed = Feed(
            name=self.name,
            description="A durable stream, made by PUT.",
            topic=self.topic,
            format="json" if json else "bytes",
            media_type=self.media_type,
            event_type=self.name,
            partitions=len(self.end),
            is_stream=True,
        )
        return Entry(feed, JsonCodec(self.media_type) if json else BytesCodec(self.media_type))


@dataclass(frozen=True, slots=True)
class Producer:
    """How far an idempotent producer of a stream has come."""

    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Retired:
    """The topic of a stream of this name that is no more: it is to be deleted."""

    name: str
    topic: str


Value = Stream | Producer | Retired
_KINDS: dict[str, type[Stream] | type[Producer] | type[Retired]] = {
    "stream": Stream,
    "producer": Producer,
    "retired": Retired,
}


def to_bytes(value: Value) -> bytes:
    """The record's value."""
    kind = next(name for name, kind in _KINDS.items() if isinstance(value, kind))
    return orjson.dumps({"kind": kind, **asdict(value)})


def from_bytes(value: bytes) -> Value:
    """A value from a record; raises ValueError. Members of a newer version are left out."""
    try:
        members = orjson.loads(value)
        kind = _KINDS[members.pop("kind")]
        known = {name: member for name, member in members.items() if name in kind.__dataclass_fields__}
        if kind is Stream:
            known["end"] = tuple(known["end"])
        return kind(**known)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"nothing of a stream: {error!r}") from error


def partition_of(name: str) -> int:
    """The partition of `headrace.streams` that holds all of a stream."""
    return zlib.crc32(name.encode()) % PARTITIONS


def producer_key(stream: Stream, producer_id: str) -> str:
    """The key of a producer's state. No stream's name holds a zero character."""
    return f"{stream.id}\0{producer_id}"


def retired_key(stream: Stream) -> str:
    """The key of what is left to do of a stream that is no more."""
    return f"{stream.id}\0\0retired"
