"""Between JSON's types and Avro's: the values that JSON cannot say, told as strings, and back without loss.

| Avro | JSON |
|---|---|
| bytes, fixed | base64 text |
| decimal | text, `"12.30"`; a number is taken too while a double holds it exactly |
| timestamp-millis, timestamp-micros | RFC 3339 text; milliseconds / microseconds since 1970 are taken too |
| local-timestamp-millis, local-timestamp-micros | the same without an offset |
| date | `"2013-01-31"` |
| time-millis, time-micros | `"05:15:00"` |
| uuid | text |

What would be rounded or cut is refused. In a union the first branch that fits is taken, but numbers try int and long
first and text tries bytes last: any text of four letters is base64 too.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import time
from decimal import Decimal
from typing import Any

import orjson
from fastavro.read import LOGICAL_READERS

from headrace.schemas.avro_leaf import Convert, Unconvertible, expected, leaf

__all__ = ["Unconvertible", "is_recursive", "named_types", "to_json", "writable"]


def writable(schema: Any, named: dict[str, Convert] | None = None) -> Convert:
    """A function from a JSON value to what fastavro writes, with the branch of every union named.

    `schema` is a parsed schema (references by full name). The function raises `Unconvertible` for a value that does
    not fit, at its first fault: `explain` tells them all.
    """
    named = {} if named is None else named
    if isinstance(schema, list):
        return _union(schema, named)
    if (step := leaf(schema)) is not None:
        if isinstance(schema, dict) and "name" in schema:
            named[schema["name"]] = step
        return step
    if isinstance(schema, str):
        return _late(schema, named)
    kind = schema["type"]
    if kind in ("record", "error"):
        return _record(schema, named)
    if kind == "array":
        return _array(writable(schema["items"], named))
    if kind == "map":
        return _map(writable(schema["values"], named))
    return writable(kind, named)


def _record(schema: dict[str, Any], named: dict[str, Convert]) -> Convert:
    steps: list[tuple[str, Convert, bool]] = []

    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise expected("an object", value)
        converted = {}
        for name, step, required in steps:
            if name in value:
                converted[name] = step(value[name])
            elif required:
                raise Unconvertible(f"{name} is required")
        if len(converted) != len(value):
            raise Unconvertible(f"{schema['name']} has no field {', '.join(value.keys() - converted.keys())}")
        return converted

    # A type may hold itself, so it has its name before its fields have their types.
    named[schema["name"]] = convert
    steps += [(f["name"], writable(f["type"], named), "default" not in f) for f in schema["fields"]]
    return convert


def _late(name: str, named: dict[str, Convert]) -> Convert:
    return lambda value: named[name](value)


def _array(step: Convert) -> Convert:
    def convert(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise expected("an array", value)
        return [step(item) for item in value]

    return convert


def _map(step: Convert) -> Convert:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise expected("an object", value)
        return {key: step(item) for key, item in value.items()}

    return convert


def _union(branches: list[Any], named: dict[str, Convert]) -> Convert:
    nullable = "null" in branches
    # All are compiled in their own order: a later one may name a type that an earlier one defines.
    steps = [(_branch(branch), writable(branch, named), _rank(branch)) for branch in branches if branch != "null"]
    steps.sort(key=lambda step: step[2])

    def convert(value: Any) -> tuple[str, Any] | None:
        if value is None and nullable:
            return None
        for name, step, _ in steps:
            try:
                # fastavro's notation for the branch that is meant; left alone it takes the first that might do.
                return name, step(value)
            except Unconvertible:
                if len(steps) == 1:
                    raise
        raise Unconvertible("fits no branch of the union")

    return convert


def _branch(schema: Any) -> str:
    """The name of a union's branch: of a named type its own, of others the type's."""
    name = schema if isinstance(schema, str) else schema.get("name", schema["type"])
    assert isinstance(name, str)
    return name


def _rank(schema: Any) -> int:
    if isinstance(schema, dict) and "logicalType" in schema:
        return 3
    kind = _branch(schema) if isinstance(schema, str) else schema["type"]
    return {"int": 0, "long": 0, "double": 1, "float": 2, "bytes": 4, "fixed": 4}.get(kind, 3)


def named_types(schema: Any) -> dict[str, Any]:
    """The definitions of all named types in a parsed schema, by full name."""
    return {node["name"]: node for node in _nodes(schema) if "name" in node}


def is_recursive(schema: Any) -> bool:
    """Whether a type of the parsed schema can hold itself, so that its values can be nested without end."""
    named = named_types(schema)

    def holds_itself(node: Any, within: frozenset[str]) -> bool:
        if isinstance(node, list):
            return any(holds_itself(branch, within) for branch in node)
        if isinstance(node, str):
            return node in within or (node in named and holds_itself(named[node], within))
        if "name" in node:
            if node["name"] in within:
                return True
            within = within | {node["name"]}
        inner = [node[part] for part in ("items", "values") if part in node]
        inner += [field["type"] for field in node.get("fields", ())]
        if isinstance(node["type"], dict | list):
            inner.append(node["type"])
        return any(holds_itself(part, within) for part in inner)

    return holds_itself(schema, frozenset())


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, list):
        for branch in schema:
            yield from _nodes(branch)
    elif isinstance(schema, dict):
        yield schema
        for part in ("type", "items", "values"):
            yield from _nodes(schema.get(part))
        for field in schema.get("fields", ()):
            yield from _nodes(field["type"])


class _TimeOfDay(time):
    """A time that orjson leaves to us: of a plain one it says 10 ms as `.10000`, ten times as much (3.13)."""


def _time_of_day(read: Callable[..., time]) -> Callable[..., time]:
    def told_by_us(count: int, writer: Any = None, reader: Any = None) -> time:
        moment = read(count, writer, reader)
        return _TimeOfDay(moment.hour, moment.minute, moment.second, moment.microsecond)

    return told_by_us


for _name in ("int-time-millis", "long-time-micros"):
    LOGICAL_READERS[_name] = _time_of_day(LOGICAL_READERS[_name])


def to_json(value: Any) -> bytes:
    """A decoded Avro value, or a dict that holds one, as JSON text. NaN and infinities, which JSON lacks, are null."""
    return orjson.dumps(value, default=_unsayable, option=orjson.OPT_UTC_Z)


def _unsayable(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, _TimeOfDay):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no JSON form")
