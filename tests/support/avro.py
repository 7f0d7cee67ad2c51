"""Avro for tests: codecs of any schema without files, and hypothesis strategies for schemas and what fits them."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import orjson
from fastavro import parse_schema
from hypothesis import strategies as st

from headrace.schemas.avro_json import to_json
from headrace.schemas.codec import AvroCodec
from headrace.schemas.ids import Schema, UnknownSchema

Strategy = st.SearchStrategy[Any]


class KnownIds:
    """Ids of schemas that a test made: their places in the list."""

    def __init__(self, *schemas: Schema) -> None:
        self._schemas = schemas

    def id_of(self, subject: str, schema: Schema) -> int:
        return self._schemas.index(schema)

    def schema_of(self, schema_id: int) -> Schema:
        if schema_id >= len(self._schemas):
            raise UnknownSchema(f"schema id {schema_id} is not known")
        return self._schemas[schema_id]


def schema_of(definition: Any) -> Schema:
    return Schema.of("test.Type", parse_schema(definition))


def codec_of(definition: Any) -> AvroCodec:
    schema = schema_of(definition)
    return AvroCodec(schema, "test-value", KnownIds(schema))


def record(**fields: Any) -> dict[str, Any]:
    """A record type `test.Record`; a field given as a tuple is a type with its default."""
    made = [
        {"name": name, "type": kind[0], "default": kind[1]} if isinstance(kind, tuple) else {"name": name, "type": kind}
        for name, kind in fields.items()
    ]
    return {"type": "record", "name": "Record", "namespace": "test", "fields": made}


def told(codec: AvroCodec, data: Any) -> Any:
    """The data as it is read back: JSON to Avro to JSON."""
    return orjson.loads(to_json(codec.decode(codec.encode(data))))


def _text(value: Any) -> Any:
    return orjson.loads(to_json(value))


_MILLIS = st.datetimes(timezones=st.just(UTC)).map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000))

# Each: a schema, and the JSON values that fit it, in the form in which they are read back.
LEAVES: list[tuple[Any, Strategy]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.floats(width=32, allow_nan=False, allow_infinity=False)),
    ("double", st.floats(allow_nan=False, allow_infinity=False)),
    ("string", st.text()),
    ("bytes", st.binary().map(lambda b: base64.b64encode(b).decode())),
    ({"type": "long", "logicalType": "timestamp-millis"}, _MILLIS.map(_text)),
    ({"type": "long", "logicalType": "timestamp-micros"}, st.datetimes(timezones=st.just(UTC)).map(_text)),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, st.datetimes().map(_text)),
    ({"type": "int", "logicalType": "date"}, st.dates().map(date.isoformat)),
    (
        {"type": "int", "logicalType": "time-millis"},
        st.times().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)).map(time.isoformat),
    ),
    ({"type": "long", "logicalType": "time-micros"}, st.times().map(time.isoformat)),
    ({"type": "string", "logicalType": "uuid"}, st.uuids().map(str)),
]


def _decimals(precision: int, scale: int) -> Strategy:
    whole = 10**precision - 1
    return st.integers(-whole, whole).map(lambda n: format(Decimal(n).scaleb(-scale), "f"))


@st.composite
def _leaves(draw: st.DrawFn, names: list[str]) -> tuple[Any, Strategy]:
    kind = draw(st.integers(0, len(LEAVES) + 3))
    if kind < len(LEAVES):
        return LEAVES[kind]
    name = f"test.T{len(names)}"
    precision = draw(st.integers(1, 25))
    scale = draw(st.integers(0, precision))
    decimal = {"logicalType": "decimal", "precision": precision, "scale": scale}
    if kind == len(LEAVES):
        return {"type": "bytes", **decimal}, _decimals(precision, scale)
    names.append(name)
    if kind == len(LEAVES) + 1:
        return {"type": "fixed", "name": name, "size": 12, **decimal}, _decimals(precision, scale)
    if kind == len(LEAVES) + 2:
        size = draw(st.integers(1, 5))
        content = st.binary(min_size=size, max_size=size).map(lambda b: base64.b64encode(b).decode())
        return {"type": "fixed", "name": name, "size": size}, content
    return {"type": "enum", "name": name, "symbols": ["A", "B", "C"]}, st.sampled_from("ABC")


@st.composite
def types(draw: st.DrawFn, names: list[str] | None = None, known: dict[str, Strategy] | None = None, depth: int = 0):  # type: ignore[no-untyped-def]
    """A schema with a strategy for its values in JSON: nested, nullable, named again, recursive."""
    names = [] if names is None else names
    known = {} if known is None else known
    kind = draw(st.integers(0, 7)) if depth < 3 else 0
    if kind == 4 and known:
        name = draw(st.sampled_from(sorted(known)))
        return name, known[name]
    if kind == 5:
        inner, values = draw(types(names, known, depth + 1))
        return {"type": "array", "items": inner}, st.lists(values, max_size=3)
    if kind == 6:
        inner, values = draw(types(names, known, depth + 1))
        return {"type": "map", "values": inner}, st.dictionaries(st.text(max_size=5), values, max_size=3)
    if kind == 7:
        inner, values = draw(types(names, known, depth + 1))
        if isinstance(inner, list) or inner == "null":
            return inner, values
        return draw(st.permutations(["null", inner])), st.none() | values
    if kind in (2, 3):
        name = f"test.T{len(names)}"
        names.append(name)
        fields, values = [], {}
        for index in range(draw(st.integers(0, 4))):
            inner, inner_values = draw(types(names, known, depth + 1))
            fields.append({"name": f"f{index}", "type": inner})
            values[f"f{index}"] = inner_values
        whole = st.fixed_dictionaries(values)
        if draw(st.booleans()):
            fields.append({"name": "itself", "type": ["null", name]})
            flat = whole
            whole = st.recursive(
                flat.map(lambda v: {**v, "itself": None}),
                lambda inner: st.builds(lambda v, i: {**v, "itself": i}, flat, inner),
                max_leaves=3,
            )
        known[name] = whole
        return {"type": "record", "name": name, "fields": fields}, whole
    leaf, values = draw(_leaves(names))
    if isinstance(leaf, dict) and "name" in leaf:
        known[leaf["name"]] = values
    return leaf, values


def any_json() -> Strategy:
    """Any JSON value, with a liking for what is almost right."""
    nearly = ["", "NaN", "Infinity", "1.5", "2013-01-31", "2013-01-31T00:00:00Z", "05:15:00", "AAE=", "A", "nope"]
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**64), 2**64)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5)
        | st.sampled_from(nearly)
        | st.times().map(time.isoformat)
        | st.datetimes().map(datetime.isoformat),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["f0", "f1", "itself", "-type", "x/~"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
