"""CloudEvents 1.0 in Kafka's binary mode, and as structured JSON.

In Kafka an event's attributes are headers `ce_<name>` and its data is the record's value. As JSON it also says where
it lies in the log: `partition`, and `sequence`, the offset as text that sorts (the CloudEvents extension of that name).
Records that others wrote without these headers are events too: their id is `topic:partition:offset`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from typing import Any

from headrace.schemas.avro_json import to_json
from headrace.schemas.codec import Codec, Undecodable

PREFIX = "ce_"
SPEC_VERSION = "1.0"
SEQUENCE_DIGITS = 19

# Members of the JSON form that say what is in the value; a header of such a name says nothing.
_NO_ATTRIBUTES = ("ce_", "ce_data", "ce_data_base64", "ce_dataerror")

KafkaHeaders = Sequence[tuple[str, str | bytes | None]]


@dataclass(slots=True)
class Event:
    """What a producer says of an event besides its data. `extensions` are further CloudEvents attributes."""

    id: str
    type: str
    source: str
    time: str
    subject: str | None = None
    extensions: Mapping[str, str] | None = None


_RANDOM = Random()  # noqa: S311 - ids must be unique, not secret
_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62
_CHANCE = 0xFFF << 64 | (1 << 62) - 1


def new_id() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): unique, and in order of time."""
    number = time.time_ns() // 1_000_000 << 80 | _VERSION_AND_VARIANT | _RANDOM.getrandbits(76) & _CHANCE
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_ids() -> Iterator[str]:
    """A new id, and then those that follow it (RFC 9562, section 6.2, method 2): many at a fraction of the cost."""
    first = new_id()
    fixed, counted = first[:-12], int(first[-12:], 16)
    return (f"{fixed}{(counted + n) & 0xFFFFFFFFFFFF:012x}" for n in itertools.count())


def now() -> str:
    """The present as RFC 3339 text in UTC."""
    return rfc3339(time.time_ns() // 1_000_000)


@lru_cache(1000)
def rfc3339(timestamp_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 text in UTC. Many records of a page have the same."""
    second, millisecond = divmod(timestamp_ms, 1000)
    return f"{_second(second)}.{millisecond:03d}Z"


@lru_cache(10_000)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def to_headers(event: Event, content_type: str) -> list[tuple[str, str | bytes | None]]:
    """The Kafka headers of an event whose value has `content_type`."""
    headers: list[tuple[str, str | bytes | None]] = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", event.id),
        ("ce_type", event.type),
        ("ce_source", event.source),
        ("ce_time", event.time),
        ("content-type", content_type),
    ]
    if event.subject is not None:
        headers.append(("ce_subject", event.subject))
    if event.extensions:
        headers.extend((PREFIX + name, value) for name, value in event.extensions.items())
    return headers


def event_id(headers: KafkaHeaders | None, topic: str, partition: int, offset: int) -> str:
    """The id of a record's event."""
    for name, value in headers or ():
        if name == "ce_id" and value:
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return f"{topic}:{partition}:{offset}"


class _Attributes(dict[str, str | None]):
    """Which CloudEvents attribute a header holds, if any: asked for every header of every event, so remembered."""

    def __missing__(self, header: str) -> str | None:
        attribute = header[len(PREFIX) :] if header.startswith(PREFIX) and header not in _NO_ATTRIBUTES else None
        if len(self) < _REMEMBERED:
            self[header] = attribute
        return attribute


_ATTRIBUTES = _Attributes()
_REMEMBERED = 1000


def to_structured_json(
    codec: Codec,
    defaults: Mapping[str, str],
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: KafkaHeaders | None,
) -> bytes:
    """A record as a CloudEvent in structured JSON.

    `defaults` are the feed's `type` and `source` for records without attributes. A value that cannot be decoded is
    not hidden: it is given as `data_base64` with the reason in `dataerror`.
    """
    event: dict[str, Any] = {"specversion": SPEC_VERSION, "id": "", **defaults}
    for name, text in headers or ():
        if text and (attribute := _ATTRIBUTES[name]) is not None:
            event[attribute] = text if isinstance(text, str) else text.decode("utf-8", "replace")
    event["id"] = event_id(headers, topic, partition, offset)
    if "time" not in event:
        event["time"] = rfc3339(timestamp_ms)
    if key is not None:
        event["partitionkey"] = key.decode("utf-8", "replace")
    event["partition"] = partition
    event["sequence"] = str(offset).zfill(SEQUENCE_DIGITS)
    if value is None:
        event["data"] = None
        return to_json(event)
    try:
        data = codec.decode(value)
        if isinstance(data, bytes):
            event["datacontenttype"] = codec.content_type
            event["data_base64"] = data
        else:
            event["datacontenttype"] = "application/json"
            event["data"] = data
        return to_json(event)
    except (Undecodable, TypeError) as error:
        event.pop("data", None)
        event["datacontenttype"] = codec.content_type
        event["data_base64"] = value
        event["dataerror"] = str(error)
        return to_json(event)
