"""A value of any schema, always the same: what the sample of a release holds."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from headrace.schemas.avro_json import named_types

_LOGICAL: dict[str, Any] = {
    "timestamp-millis": datetime(2013, 1, 31, 23, 59, 59, 123000, UTC),
    "timestamp-micros": datetime(2013, 1, 31, 23, 59, 59, 123456, UTC),
    "date": date(2013, 1, 31),
    "time-millis": time(23, 59, 59, 123000),
    "time-micros": time(23, 59, 59, 123456),
    "uuid": uuid.UUID("01234567-89ab-7def-8123-456789abcdef"),
}
_PRIMITIVES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "int": -(2**31),
    "long": 2**63 - 1,
    "float": 1.5,
    "double": -2.25,
    "string": "Grüße, 東京",
    "bytes": b"\x00\xff",
}


def sample(schema: Any, named: dict[str, Any] | None = None, depth: int = 0) -> Any:
    """A value with an entry in every array and map, and the last branch of every union while it is not too deep."""
    named = named_types(schema) if named is None else named
    if isinstance(schema, list):
        branch = schema[-1] if depth < 20 or "null" not in schema else "null"
        return sample(branch, named, depth + 1)
    if isinstance(schema, str):
        return _PRIMITIVES[schema] if schema in _PRIMITIVES else sample(named[schema], named, depth + 1)
    kind = schema["type"]
    logical = schema.get("logicalType")
    if logical == "decimal":
        return Decimal(1).scaleb(-schema.get("scale", 0))
    if logical in _LOGICAL:
        return _LOGICAL[logical]
    if kind == "record":
        return {field["name"]: sample(field["type"], named, depth + 1) for field in schema["fields"]}
    if kind == "enum":
        return schema["symbols"][-1]
    if kind == "fixed":
        return bytes(range(schema["size"]))
    if kind == "array":
        return [sample(schema["items"], named, depth + 1)] if depth < 20 else []
    if kind == "map":
        return {"key": sample(schema["values"], named, depth + 1)} if depth < 20 else {}
    return sample(kind, named, depth + 1)
