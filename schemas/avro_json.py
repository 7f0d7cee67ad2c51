"""Between JSON's types and Avro's: the values that JSON cannot say, told as strings, and back without loss.

| Avro | JSON |
|---|---|
| bytes, fixed | base64 text |
| decimal | text, `"12.30"`; a number is taken too |
| timestamp-millis, timestamp-micros | RFC 3339 text; milliseconds / microseconds since 1970 are taken too |
| date | `"2013-01-31"` |
| time-millis, time-micros | `"05:15:00"` |
| uuid | text |
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unconvertible(ValueError):
    """A JSON value that cannot become the Avro type."""


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        raise Unconvertible("expected base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise Unconvertible("not base64") from error


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unconvertible("expected a decimal as text")
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise Unconvertible("not a decimal") from error


def _timestamp(unit: timedelta) -> Convert:
    def convert(value: Any) -> datetime:
        if isinstance(value, int) and not isinstance(value, bool):
            return _EPOCH + value * unit
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise Unconvertible("not an RFC 3339 time") from error
        if moment.tzinfo is None:
            raise Unconvertible("a time needs its offset from UTC, such as Z")
        return moment

    return convert


def _iso(kind: type[date] | type[time]) -> Convert:
    def convert(value: Any) -> date | time:
        try:
            return kind.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise Unconvertible(f"not a {kind.__name__} such as {kind.max.isoformat()}") from error

    return convert


_LOGICAL: dict[tuple[str, str], Convert] = {
    ("long", "timestamp-millis"): _timestamp(timedelta(milliseconds=1)),
    ("long", "timestamp-micros"): _timestamp(timedelta(microseconds=1)),
    ("int", "date"): _iso(date),
    ("int", "time-millis"): _iso(time),
    ("long", "time-micros"): _iso(time),
    ("bytes", "decimal"): _decimal,
    ("fixed", "decimal"): _decimal,
}


def converter(schema: Any, named: dict[str, Any] | None = None) -> Convert | None:
    """A function from a JSON value to the value that fastavro writes, or None where they are the same.

    `schema` is a parsed schema (references by full name). Values whose shape is wrong pass unchanged: the writer
    refuses them. The function raises `Unconvertible` for text that does not parse.
    """
    named = {} if named is None else named
    if isinstance(schema, list):
        return _union(schema, named)
    if isinstance(schema, str):
        if schema in named:
            return _late(schema, named)
        return _bytes if schema == "bytes" else None
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return converter(kind, named)
    if (logical := _LOGICAL.get((kind, schema.get("logicalType", "")))) is not None:
        return logical
    if kind == "record":
        return _record(schema, named)
    if kind == "array":
        return _array(converter(schema["items"], named))
    if kind == "map":
        return _map(converter(schema["values"], named))
    if kind in ("bytes", "fixed"):
        return _bytes
    if kind in ("enum", *_PRIMITIVES):
        return None
    return _late(kind, named)


_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "string")


def _record(schema: dict[str, Any], named: dict[str, Any]) -> Convert | None:
    # A type may hold itself: its own name stands for it while its fields are compiled.
    named[schema["name"]] = None
    steps = [(f["name"], step) for f in schema["fields"] if (step := converter(f["type"], named)) is not None]
    if not steps:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = dict(value)
        for name, step in steps:
            if name in value:
                value[name] = step(value[name])
        return value

    named[schema["name"]] = convert
    return convert


def _late(name: str, named: dict[str, Any]) -> Convert:
    def convert(value: Any) -> Any:
        step = named.get(name)
        return value if step is None else step(value)

    return convert


def _array(step: Convert | None) -> Convert | None:
    if step is None:
        return None
    return lambda value: [step(item) for item in value] if isinstance(value, list) else value


def _map(step: Convert | None) -> Convert | None:
    if step is None:
        return None
    return lambda value: {k: step(v) for k, v in value.items()} if isinstance(value, dict) else value


def _union(branches: list[Any], named: dict[str, Any]) -> Convert | None:
    steps = [step for branch in branches if branch != "null" and (step := converter(branch, named)) is not None]
    if not steps:
        return None
    others = sum(branch != "null" for branch in branches) - len(steps)

    def convert(value: Any) -> Any:
        if value is None:
            return None
        for step in steps:
            try:
                return step(value)
            except Unconvertible:
                if len(steps) == 1 and not others:
                    raise
        return value

    return convert


def to_json(value: Any) -> bytes:
    """A decoded Avro value, or a dict that holds one, as JSON text."""
    return orjson.dumps(value, default=_unsayable, option=orjson.OPT_UTC_Z)


def _unsayable(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no JSON form")
