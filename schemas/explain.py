"""Why a value does not fit its Avro schema, field by field. Asked only after the writer has refused it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headrace.schemas.avro_json import Unconvertible, converter

INT = range(-(2**31), 2**31)
LONG = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason. `pointer` is a JSON Pointer (RFC 6901) into the data."""

    pointer: str
    detail: str


def explain(schema: Any, value: Any) -> list[Fault]:
    """All faults of a JSON value against a parsed schema; empty when it fits."""
    return list(_faults(schema, value, "", {}))


def _faults(schema: Any, value: Any, at: str, named: dict[str, Any]) -> Iterator[Fault]:
    if isinstance(schema, list):
        yield from _union(schema, value, at, named)
        return
    if isinstance(schema, str):
        schema = named.get(schema, {"type": schema})
    kind = schema["type"]
    if isinstance(kind, dict | list) or kind in named:
        yield from _faults(kind, value, at, named)
        return
    if "name" in schema:
        named[schema["name"]] = schema
    if "logicalType" in schema and (convert := converter(schema)) is not None:
        try:
            convert(value)
        except Unconvertible as error:
            yield Fault(at, f"{error} ({schema['logicalType']})")
        return
    if kind == "record":
        yield from _record(schema, value, at, named)
    elif kind == "array":
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _faults(schema["items"], item, f"{at}/{index}", named)
        else:
            yield _expected("an array", value, at)
    elif kind == "map":
        if isinstance(value, dict):
            for key, item in value.items():
                yield from _faults(schema["values"], item, f"{at}/{_escape(key)}", named)
        else:
            yield _expected("an object", value, at)
    elif kind == "enum":
        if value not in schema["symbols"]:
            yield Fault(at, f"expected one of {', '.join(schema['symbols'])}")
    elif not _fits(kind, value):
        yield _expected(kind, value, at)


def _record(schema: dict[str, Any], value: Any, at: str, named: dict[str, Any]) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield _expected("an object", value, at)
        return
    known = {field["name"] for field in schema["fields"]}
    for name in value:
        if name not in known:
            yield Fault(f"{at}/{_escape(name)}", f"{schema['name']} has no such field")
    for field in schema["fields"]:
        place = f"{at}/{_escape(field['name'])}"
        if field["name"] in value:
            yield from _faults(field["type"], value[field["name"]], place, named)
        elif "default" not in field:
            yield Fault(place, "is required")


def _union(branches: list[Any], value: Any, at: str, named: dict[str, Any]) -> Iterator[Fault]:
    tried = [list(_faults(branch, value, at, dict(named))) for branch in branches]
    if all(tried):
        # The branch that went deepest is the one that was meant.
        yield from max(tried, key=lambda faults: max(f.pointer.count("/") for f in faults))


def _fits(kind: str, value: Any) -> bool:
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind in ("int", "long"):
        return isinstance(value, int) and value in (INT if kind == "int" else LONG)
    if kind in ("float", "double"):
        return isinstance(value, int | float)
    return isinstance(value, str)


def _expected(what: str, value: Any, at: str) -> Fault:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    got = names.get(type(value)) or ("a number out of range" if what in ("int", "long") else "a number")
    if isinstance(value, float):
        got = "a number with a fraction" if what in ("int", "long") else "a number"
    return Fault(at, f"expected {what}, got {got}")


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
