"""The text in a cell of a CSV file as the JSON value that its field wants."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from headrace.schemas.avro_leaf import Unconvertible
from headrace.schemas.codec import AvroCodec, Codec

Read = Callable[[str], Any]

_INTEGER = re.compile(r"[+-]?\d+")


def cell_readers(codec: Codec) -> dict[str, Read]:
    """For each field of the feed's schema, a function from text to value; it raises `Unconvertible`.

    Empty without a schema: there, text stays text. Records, arrays and maps are JSON in their cell; an empty cell is
    null where the field may be null.
    """
    if not isinstance(codec, AvroCodec) or codec.schema.parsed["type"] != "record":
        return {}
    kinds: dict[str, str] = {}
    return {field["name"]: _reader(field["type"], kinds) for field in codec.schema.parsed["fields"]}


def _reader(schema: Any, kinds: dict[str, str]) -> Read:
    if isinstance(schema, list):
        return _union([_reader(branch, kinds) for branch in schema])
    if isinstance(schema, str):
        return _READERS.get(kinds.get(schema, schema), _text)
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return _reader(kind, kinds)
    _name_types(schema, kinds)
    if "logicalType" in schema:
        return _number_or_text if schema["logicalType"] in ("timestamp-millis", "timestamp-micros") else _text
    return _READERS.get(kinds.get(kind, kind), _text)


def _name_types(schema: Any, kinds: dict[str, str]) -> None:
    """Remember of what kind each named type inside is: further on, it is there by name alone."""
    if isinstance(schema, list):
        for branch in schema:
            _name_types(branch, kinds)
    elif isinstance(schema, dict):
        if "name" in schema and isinstance(schema["type"], str):
            kinds[schema["name"]] = schema["type"]
        for field in schema.get("fields", ()):
            _name_types(field["type"], kinds)
        for inner in ("items", "values", "type"):
            _name_types(schema.get(inner), kinds)


def _union(branches: list[Read]) -> Read:
    # An empty cell is null rather than empty text, whatever the order of the branches; and text comes last.
    ordered = sorted(branches, key=lambda read: (read is not _null, read is _text))

    def read(text: str) -> Any:
        fault = Unconvertible("fits no branch of the union")
        for branch in ordered:
            try:
                return branch(text)
            except Unconvertible as error:
                fault = error
        raise fault

    return read


def _text(text: str) -> str:
    return text


def _null(text: str) -> None:
    if text:
        raise Unconvertible(f'expected null, an empty cell, got "{text}"')


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise Unconvertible(f'expected a whole number, got "{text}"')
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Unconvertible(f'expected a number, got "{text}"') from None


def _boolean(text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if known is None:
        raise Unconvertible(f'expected true or false, got "{text}"')
    return known


def _number_or_text(text: str) -> int | str:
    return int(text) if _INTEGER.fullmatch(text) else text


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Unconvertible(f'expected JSON, got "{text}"') from None


_READERS: dict[str, Read] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer,
    "long": _integer,
    "float": _number,
    "double": _number,
    "record": _json,
    "array": _json,
    "map": _json,
}
