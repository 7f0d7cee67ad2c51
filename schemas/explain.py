"""Why a value does not fit its Avro schema, field by field. Asked only after the writer has refused it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from headrace.schemas.avro_json import named_types
from headrace.schemas.avro_leaf import Unconvertible, expected, leaf

MAX_FAULTS = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason. `pointer` is a JSON Pointer (RFC 6901) into the data."""

    pointer: str
    detail: str


def explain(schema: Any, value: Any) -> list[Fault]:
    """The faults of a JSON value against a parsed schema, at most `MAX_FAULTS`; empty when it fits."""
    return list(islice(_faults(schema, value, "", named_types(schema)), MAX_FAULTS))


def _faults(schema: Any, value: Any, at: str, named: dict[str, Any]) -> Iterator[Fault]:
    if isinstance(schema, list):
        yield from _union(schema, value, at, named)
        return
    if isinstance(schema, str):
        schema = named.get(schema, schema)
    if (convert := leaf(schema)) is not None:
        try:
            convert(value)
        except Unconvertible as error:
            yield Fault(at, str(error))
        return
    kind = schema["type"]
    if kind in ("record", "error"):
        yield from _record(schema, value, at, named)
    elif kind == "array":
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _faults(schema["items"], item, f"{at}/{index}", named)
        else:
            yield Fault(at, str(expected("an array", value)))
    elif kind == "map":
        if isinstance(value, dict):
            for key, item in value.items():
                yield from _faults(schema["values"], item, f"{at}/{escape(key)}", named)
        else:
            yield Fault(at, str(expected("an object", value)))
    else:
        yield from _faults(kind, value, at, named)


def _record(schema: dict[str, Any], value: Any, at: str, named: dict[str, Any]) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(at, str(expected("an object", value)))
        return
    known = {field["name"] for field in schema["fields"]}
    for name in value:
        if name not in known:
            yield Fault(f"{at}/{escape(name)}", f"{schema['name']} has no such field")
    for field in schema["fields"]:
        place = f"{at}/{escape(field['name'])}"
        if field["name"] in value:
            yield from _faults(field["type"], value[field["name"]], place, named)
        elif "default" not in field:
            yield Fault(place, "is required")


def _union(branches: list[Any], value: Any, at: str, named: dict[str, Any]) -> Iterator[Fault]:
    tried = [list(_faults(branch, value, at, named)) for branch in branches]
    if all(tried):
        # The branch that went deepest is the one that was meant; null is meant only by null.
        meant = [faults for branch, faults in zip(branches, tried, strict=True) if branch != "null"] or tried
        yield from max(meant, key=lambda faults: max(f.pointer.count("/") for f in faults))


def escape(name: str) -> str:
    """A name as a part of a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")
