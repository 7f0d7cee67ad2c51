"""JSON to Avro and back: what fits comes back as it was, and what does not fit is refused with its place."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.avro import any_json, codec_of, record, told, types

from headrace.schemas.avro_json import to_json
from headrace.schemas.codec import InvalidData, Undecodable
from headrace.schemas.explain import explain

SLOW = settings(
    max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None
)


@SLOW
@given(st.data())
def test_what_fits_a_schema_comes_back_as_it_was(data: st.DataObject) -> None:
    schema, values = data.draw(types())
    value = data.draw(values)
    codec = codec_of(schema)
    assert explain(codec.schema.parsed, value) == []
    assert told(codec, value) == value


@SLOW
@given(st.data())
def test_any_json_value_is_written_or_refused_with_a_pointer_that_leads_into_it(data: st.DataObject) -> None:
    schema, _ = data.draw(types())
    value = data.draw(any_json())
    codec = codec_of(schema)
    faults = explain(codec.schema.parsed, value)
    if faults:
        with pytest.raises(InvalidData) as raised:
            codec.encode(value)
        assert raised.value.faults == faults
        for fault in faults:
            _follow(value, fault.pointer)
    else:
        written = codec.encode(value)
        # What is written can be said in JSON again, and says the same when it is written once more.
        said = orjson.loads(to_json(codec.decode(written)))
        assert codec.encode(said) == written


def _follow(value: Any, pointer: str) -> None:
    """All but the last part of a pointer leads to something that is there; the last may be what is missing."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in parts[:-1]:
        value = value[int(part)] if isinstance(value, list) else value[part]
    assert not parts or isinstance(value, dict | list)


@SLOW
@given(st.data())
def test_bytes_cut_short_or_too_many_are_undecodable(data: st.DataObject) -> None:
    schema, values = data.draw(types())
    codec = codec_of(schema)
    written = codec.encode(data.draw(values))
    with pytest.raises(Undecodable):
        codec.decode(written + b"\0")
    if len(written) > 5:
        with pytest.raises(Undecodable):
            codec.decode(written[:-1])


@SLOW
@given(st.data(), st.binary(max_size=40))
def test_any_bytes_are_decoded_or_undecodable(data: st.DataObject, body: bytes) -> None:
    schema, _ = data.draw(types())
    codec = codec_of(schema)
    for value in (body, b"\0\0\0\0\0" + body):
        with contextlib.suppress(Undecodable):
            to_json(codec.decode(value))


UNIONS: list[tuple[list[Any], Any, Any]] = [
    (["null", "string", "bytes"], "AAE=", "AAE="),
    (["bytes", "string"], "test", "test"),
    (
        ["string", {"type": "long", "logicalType": "timestamp-millis"}],
        "2013-01-31T00:00:00+01:00",
        "2013-01-31T00:00:00+01:00",
    ),
    ([{"type": "long", "logicalType": "timestamp-millis"}, "string"], "not a time", "not a time"),
    ([{"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "double"], 1.5, 1.5),
    (["float", "int"], 16_777_217, 16_777_217),
    (["float", "double"], 0.1, 0.1),
    (["boolean", "int"], True, True),
    (["int", "boolean"], True, True),
    (
        [
            {"type": "map", "values": "int"},
            {"type": "record", "name": "C", "fields": [{"name": "a", "type": "string"}]},
        ],
        {"a": "x"},
        {"a": "x"},
    ),
    (
        [
            {
                "type": "record",
                "name": "A",
                "fields": [{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}],
            },
            {"type": "record", "name": "B", "fields": [{"name": "at", "type": "string"}, {"name": "x", "type": "int"}]},
        ],
        {"at": "2013-01-31T00:00:00+01:00", "x": 1},
        {"at": "2013-01-31T00:00:00+01:00", "x": 1},
    ),
]


@pytest.mark.parametrize(("branches", "value", "expected"), UNIONS)
@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: record(f=t), lambda t: {"type": "array", "items": t}])
def test_a_union_takes_the_branch_that_loses_nothing(branches: list[Any], value: Any, expected: Any, wrap: Any) -> None:
    schema = wrap(branches)
    place = (
        {"f": value}
        if isinstance(schema, dict) and "fields" in schema
        else [value]
        if isinstance(schema, dict)
        else value
    )
    meant = (
        {"f": expected}
        if isinstance(schema, dict) and "fields" in schema
        else [expected]
        if isinstance(schema, dict)
        else expected
    )
    read = told(codec_of(schema), place)
    assert read == meant
    assert orjson.dumps(read) == orjson.dumps(meant)


DEFAULTS: list[tuple[Any, Any, Any]] = [
    ("bytes", "\u0000\u00ff", "AP8="),
    ({"type": "fixed", "name": "F", "size": 2}, "\u0000\u00ff", "AP8="),
    ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "\u0004\u00d2", "12.34"),
    (["bytes", "null"], "\u0001", "AQ=="),
    ({"type": "long", "logicalType": "timestamp-millis"}, 0, "1970-01-01T00:00:00Z"),
    ({"type": "int", "logicalType": "date"}, 0, "1970-01-01"),
    ({"type": "array", "items": "string"}, [], []),
    ({"type": "map", "values": "int"}, {"a": 1}, {"a": 1}),
    (["null", "string"], None, None),
    (["string", "null"], "x", "x"),
    ("double", 1, 1.0),
]


@pytest.mark.parametrize(("kind", "default", "read"), DEFAULTS)
def test_a_field_left_out_has_its_default(kind: Any, default: Any, read: Any) -> None:
    assert told(codec_of(record(f=(kind, default))), {}) == {"f": read}
