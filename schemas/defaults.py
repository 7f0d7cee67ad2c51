"""Defaults as values: fastavro hands out what the schema's JSON says, text for bytes and numbers for times."""

from __future__ import annotations

import copy
from typing import Any

from fastavro.read import LOGICAL_READERS

from headrace.schemas.avro_json import named_types


def with_values(parsed: Any) -> Any:
    """A copy of a parsed schema whose fields have for a default what a reader would have read."""
    made = copy.deepcopy(parsed)
    named = named_types(made)
    for schema in named.values():
        for field in schema.get("fields", ()):
            if "default" in field:
                field["default"] = _value(field["type"], field["default"], named)
    return made


def _value(schema: Any, default: Any, named: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        # The first branch's (Avro 1.11); null may come first or last.
        return None if default is None else _value(next(b for b in schema if b != "null"), default, named)
    if isinstance(schema, str):
        if schema not in named:
            return default.encode("latin-1") if schema == "bytes" else default
        schema = named[schema]
    kind = schema["type"]
    if kind in ("bytes", "fixed"):
        default = default.encode("latin-1")
    if (read := LOGICAL_READERS.get(f"{kind}-{schema.get('logicalType')}")) is not None:
        return read(default, schema, None)
    if kind == "record":
        return {
            field["name"]: _value(field["type"], default[field["name"]], named)
            for field in schema["fields"]
            if field["name"] in default
        }
    if kind == "array":
        return [_value(schema["items"], item, named) for item in default]
    if kind == "map":
        return {key: _value(schema["values"], item, named) for key, item in default.items()}
    return _value(kind, default, named) if isinstance(kind, dict | list) or kind in named else default
