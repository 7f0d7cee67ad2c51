"""The time of an event, from a field of its data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from headrace.schemas.avro_leaf import Unconvertible
from headrace.schemas.codec import AvroCodec, Codec

ToMs = Callable[[Any], int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_MS = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND


def time_reader(codec: Codec, field: str) -> ToMs:
    """A function from the field's value, JSON's or Avro's, to milliseconds since 1970; it raises `Unconvertible`.

    Times are RFC 3339 text or dates; a number counts milliseconds, or microseconds where the field's schema says so.
    Raises ValueError where the feed's schema has no such field.
    """
    per_ms = 1
    if isinstance(codec, AvroCodec):
        schemas = {each["name"]: each["type"] for each in codec.schema.parsed.get("fields", ())}
        if field not in schemas:
            raise ValueError(f"{codec.schema.name} has no such field; it has {', '.join(schemas)}")
        per_ms = 1000 if _is_micros(schemas[field]) else 1
    return lambda value: _to_ms(value, per_ms)


def _is_micros(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(_is_micros(branch) for branch in schema)
    return isinstance(schema, dict) and schema.get("logicalType") == "timestamp-micros"


def _to_ms(value: Any, per_ms: int) -> int:
    if isinstance(value, str):
        # In a feed without a schema a CSV file's numbers are text.
        value = int(value) if value.isdecimal() else _moment(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not _FIRST_MS * per_ms <= value <= _LAST_MS * per_ms:
            raise Unconvertible("is not in the years 1 to 9999")
        return int(value // per_ms)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    if not isinstance(value, datetime):
        raise Unconvertible("has no time" if value is None else "is no time")
    if value.tzinfo is None:
        raise Unconvertible("is a time without its offset from UTC, such as Z")
    return (value - _EPOCH) // _MILLISECOND


def _moment(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Unconvertible(f'"{text}" is no RFC 3339 time') from None
