"""What is refused, and how it is told: every fault with its JSON Pointer, nothing rounded, nothing coerced."""

from __future__ import annotations

from typing import Any

import pytest
from support.avro import codec_of, record, told

from headrace.schemas.codec import BytesCodec, InvalidData, JsonCodec, Undecodable
from headrace.schemas.explain import MAX_FAULTS

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
FIXED_DECIMAL = {"type": "fixed", "name": "Money", "size": 3, "logicalType": "decimal", "precision": 4, "scale": 2}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
TIME = {"type": "int", "logicalType": "time-millis"}
UUID = {"type": "string", "logicalType": "uuid"}
EMPTY = {"type": "record", "name": "Empty", "fields": []}
FIXED = {"type": "fixed", "name": "Two", "size": 2}

REFUSED: list[tuple[Any, Any]] = [
    ("boolean", "no"),
    ("boolean", 1),
    ("null", 0),
    ("int", 1.5),
    ("int", 1.0),
    ("int", True),
    ("int", "5"),
    ("int", 2**31),
    ("long", 2**63),
    ("long", -(2**63) - 1),
    ("double", "NaN"),
    ("double", "Infinity"),
    ("double", "1.5"),
    ("double", True),
    ("float", 1e300),
    ("float", -3.5e38),
    ("string", 5),
    ("bytes", "!!"),
    ("bytes", "Grüße"),
    (FIXED, "AA=="),
    ({"type": "enum", "name": "E", "symbols": ["A"]}, "B"),
    ({"type": "enum", "name": "E", "symbols": ["A"]}, ["A"]),
    ({"type": "array", "items": "string"}, "abc"),
    ({"type": "array", "items": "string"}, {"a": 1}),
    ({"type": "map", "values": "int"}, [1]),
    (EMPTY, ""),
    (EMPTY, []),
    (EMPTY, {"-type": "Empty"}),
    (UUID, "nope"),
    (UUID, "{01234567-89ab-7def-8123-456789abcdef}"),
    (MILLIS, "2013-01-31T00:00:00"),
    (MILLIS, "2013-01-31"),
    (MILLIS, "2013-01-31T00:00:00.1234Z"),
    (MILLIS, "0001-01-01T00:00:00+14:00"),
    (MILLIS, 2**62),
    (MILLIS, True),
    (MILLIS, 1.5),
    (MICROS, "2013-01-31T00:00:00.1234567Z"),
    (MICROS, "9999-12-31T23:59:59-01:00"),
    ({"type": "int", "logicalType": "date"}, "2013-02-30"),
    ({"type": "int", "logicalType": "date"}, 15_000),
    (TIME, "05:15:00+01:00"),
    (TIME, "05:15:00.0001"),
    (TIME, "25:00:00"),
    (DECIMAL, "123.45"),
    (DECIMAL, "1.234"),
    (DECIMAL, "1E+5"),
    (DECIMAL, "1E+999999999"),
    (DECIMAL, "NaN"),
    (DECIMAL, "\uff11.2"),
    (DECIMAL, "1_0"),
    (DECIMAL, True),
    (FIXED_DECIMAL, "100"),
    (FIXED_DECIMAL, "0.001"),
    ({**DECIMAL, "precision": 40, "scale": 0}, float(2**70)),
    ({**DECIMAL, "precision": 40, "scale": 20}, 0.12345678901234567),
]


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_a_value_that_does_not_fit_is_refused_where_it_stands(kind: Any, value: Any) -> None:
    codec = codec_of(record(a=kind, b=("int", 0)))
    with pytest.raises(InvalidData) as raised:
        codec.encode({"a": value})
    assert {fault.pointer.split("/")[1] for fault in raised.value.faults} == {"a"}


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_it_is_refused_in_a_nullable_field_too(kind: Any, value: Any) -> None:
    codec = codec_of(record(a=kind if kind == "null" else ["null", kind]))
    with pytest.raises(InvalidData) as raised:
        codec.encode({"a": value})
    assert all(fault.pointer.startswith("/a") for fault in raised.value.faults)


TAKEN: list[tuple[Any, Any, Any]] = [
    ("float", 1, 1.0),
    ("double", 3, 3.0),
    (MILLIS, 0, "1970-01-01T00:00:00Z"),
    (MILLIS, "2013-01-31T01:02:03.120000+01:00", "2013-01-31T00:02:03.120000Z"),
    (MICROS, -1, "1969-12-31T23:59:59.999999Z"),
    (DECIMAL, 12.3, "12.30"),
    (DECIMAL, 12, "12.00"),
    (DECIMAL, "-0.01", "-0.01"),
    (DECIMAL, "1e1", "10.00"),
    (FIXED_DECIMAL, "-99.99", "-99.99"),
    (TIME, "05:15:00.010", "05:15:00.010000"),
    (UUID, "01234567-89AB-7DEF-8123-456789ABCDEF", "01234567-89ab-7def-8123-456789abcdef"),
]


@pytest.mark.parametrize(("kind", "value", "read"), TAKEN)
def test_other_writings_of_a_value_are_read_as_the_same_value(kind: Any, value: Any, read: Any) -> None:
    assert told(codec_of(record(a=kind)), {"a": value}) == {"a": read}


def test_every_fault_is_told_with_its_pointer() -> None:
    leg = {"type": "record", "name": "Leg", "fields": [{"name": "at", "type": MILLIS}, {"name": "n", "type": "int"}]}
    codec = codec_of(
        record(
            first=["null", leg],
            legs={"type": "array", "items": "test.Leg"},
            by={"type": "map", "values": "int"},
            id="string",
        )
    )
    data = {
        "first": None,
        "legs": [{"at": "2013-01-31T00:00:00Z", "n": 1}, {"at": "yesterday", "n": "2"}],
        "by": {"a/b": 1, "a/b~c": "x"},
        "extra/~": 1,
    }
    with pytest.raises(InvalidData) as raised:
        codec.encode(data)
    assert {(fault.pointer, fault.detail) for fault in raised.value.faults} == {
        ("/legs/1/at", "not an RFC 3339 time"),
        ("/legs/1/n", "expected int, got a string"),
        ("/by/a~1b~0c", "expected int, got a string"),
        ("/extra~1~0", "test.Record has no such field"),
        ("/id", "is required"),
    }


def test_a_fault_in_a_union_is_that_of_the_branch_that_was_meant() -> None:
    codec = codec_of(record(leg=["null", {"type": "record", "name": "Leg", "fields": [{"name": "n", "type": "int"}]}]))
    with pytest.raises(InvalidData, match="/leg/n expected int, got a string"):
        codec.encode({"leg": {"n": "x"}})
    with pytest.raises(InvalidData, match="/leg expected an object, got a number"):
        codec.encode({"leg": 5})


def test_faults_are_counted_only_so_far() -> None:
    with pytest.raises(InvalidData) as raised:
        codec_of({"type": "array", "items": "int"}).encode(["x"] * 10_000)
    assert len(raised.value.faults) == MAX_FAULTS


NODE = record(next=["null", "test.Record"])


def _nested(depth: int) -> Any:
    value: Any = {"next": None}
    for _ in range(depth - 1):
        value = {"next": value}
    return value


@pytest.mark.parametrize("depth", [101, 260, 1000, 5000])
def test_what_is_nested_too_deeply_is_refused(depth: int) -> None:
    with pytest.raises(InvalidData, match="nested too deeply"):
        codec_of(NODE).encode(_nested(depth))


def test_what_is_nested_less_deeply_is_read_back() -> None:
    assert told(codec_of(NODE), _nested(100)) == _nested(100)


@pytest.mark.parametrize("depth", [10_000, 1_000_000])
def test_hostile_nesting_does_not_end_the_process(depth: int) -> None:
    with pytest.raises(Undecodable):
        codec_of(NODE).decode(b"\0\0\0\0\0" + b"\x02" * depth + b"\0")


LENGTH = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
"""A length of 2^63 - 1."""


@pytest.mark.parametrize(
    "kind", ["string", "bytes", {"type": "array", "items": "int"}, {"type": "map", "values": "int"}]
)
@pytest.mark.parametrize("length", [LENGTH, b"\x01", b"\xff" * 12 + b"\x01"])
def test_a_hostile_length_is_undecodable(kind: Any, length: bytes) -> None:
    with pytest.raises(Undecodable):
        codec_of(kind).decode(b"\0\0\0\0\0" + length + b"abc")


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0\0\0", b"\1\0\0\0\0\2a", b"\0\0\0\0\7\2a", b"{}"])
def test_a_value_without_a_known_schema_id_is_undecodable(value: bytes) -> None:
    with pytest.raises(Undecodable):
        codec_of("string").decode(value)


def test_json_that_could_not_be_read_again_is_refused() -> None:
    with pytest.raises(InvalidData, match="Recursion limit"):
        JsonCodec().encode(_nested(300))


@pytest.mark.parametrize("value", ["!!", "é", None, 5, [], "A"])
def test_bytes_that_are_not_base64_are_refused(value: Any) -> None:
    with pytest.raises(InvalidData, match="base64"):
        BytesCodec().encode(value)
