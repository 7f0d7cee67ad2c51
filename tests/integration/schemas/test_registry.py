"""Schema ids from a registry that speaks Confluent's interface."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.avro import record, schema_of
from support.registry import Registry, registry

from headrace.schemas import registry as registry_module
from headrace.schemas.codec import AvroCodec, Undecodable
from headrace.schemas.ids import RegistryUnavailable, SchemaError, UnknownSchema
from headrace.schemas.registry import RegistryIds

TEXT = record(a="string")


@pytest.fixture
def server() -> Iterator[Registry]:
    with registry() as served:
        yield served


def _ids(server: Registry) -> RegistryIds:
    return RegistryIds({"url": server.url, "timeout": 2, "max.retries": 0})


def _avro(schema: Any, **more: Any) -> dict[str, Any]:
    return {"schema": json.dumps(schema), **more}


def test_the_subject_is_that_of_the_topic_and_the_id_that_of_the_registry(server: Registry) -> None:
    codec = AvroCodec(schema_of(record(a="int")), "trips.v2-value", _ids(server))
    assert list(server.subjects) == ["trips.v2-value"]
    [schema_id] = server.subjects["trips.v2-value"]
    assert codec.encode({"a": 1})[:5] == b"\0" + schema_id.to_bytes(4, "big")


def test_registering_again_gives_the_same_id(server: Registry) -> None:
    schema = schema_of(record(a=("bytes", "\u00ff")))
    assert _ids(server).id_of("s-value", schema) == _ids(server).id_of("s-value", schema)
    assert len(server.schemas) == 1


def test_an_event_of_another_version_is_read_as_the_current_one(server: Registry) -> None:
    old = AvroCodec(schema_of(record(a="int")), "t-value", _ids(server))
    new = AvroCodec(schema_of(record(a="int", b=("string", "x"))), "t-value", _ids(server))
    assert new.decode(old.encode({"a": 1})) == {"a": 1, "b": "x"}
    assert old.decode(new.encode({"a": 1, "b": "y"})) == {"a": 1}


def test_a_known_schema_is_asked_for_once(server: Registry) -> None:
    old = AvroCodec(schema_of(record(a="int")), "t-value", _ids(server))
    new = AvroCodec(schema_of(record(a="int", b=("string", "x"))), "t-value", _ids(server))
    value = old.encode({"a": 1})
    asked = len(server.requests)
    for _ in range(5):
        new.decode(value)
    assert len(server.requests) == asked + 1


def test_an_unknown_id_is_undecodable_and_asked_for_again_only_later(
    server: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = _ids(server)
    codec = AvroCodec(schema_of(TEXT), "t-value", ids)
    asked = len(server.requests)
    for _ in range(5):
        with pytest.raises(Undecodable, match="does not know schema id 102"):
            codec.decode(b"\0\0\0\0\x66\x02a")
    assert len(server.requests) == asked + 1
    assert server.register("t-value", _avro({**TEXT, "doc": "another"}, schemaType="AVRO")) == 102
    monkeypatch.setattr(registry_module, "UNKNOWN_FOR_S", 0.0)
    assert codec.decode(b"\0\0\0\0\x66\x02a") == {"a": "a"}


def test_a_registry_that_fails_says_nothing_of_an_event(server: Registry) -> None:
    codec = AvroCodec(schema_of(TEXT), "t-value", _ids(server))
    schema_id = server.register("t-value", _avro({**TEXT, "doc": "another"}, schemaType="AVRO"))
    server.broken = True
    value = b"\0" + schema_id.to_bytes(4, "big") + b"\x02a"
    with pytest.raises(RegistryUnavailable):
        codec.decode(value)
    server.broken = False
    assert codec.decode(value) == {"a": "a"}


def test_a_registry_that_is_away_says_nothing_of_an_event() -> None:
    with registry() as served:
        codec = AvroCodec(schema_of(TEXT), "t-value", _ids(served))
    with pytest.raises(RegistryUnavailable):
        codec.decode(b"\0\0\0\0\x66\x02a")
    with pytest.raises(SchemaError, match="does not answer"):
        AvroCodec(schema_of(TEXT), "t-value", _ids(served))


def test_a_schema_that_names_types_of_other_subjects_is_read(server: Registry) -> None:
    place = {"type": "record", "name": "test.Place", "fields": [{"name": "x", "type": "int"}]}
    server.register("place", _avro(place))
    reference = {"name": "test.Place", "subject": "place", "version": 1}
    schema_id = server.register("t-value", _avro(record(at="test.Place"), references=[reference]))
    codec = AvroCodec(schema_of(record(at=place)), "t-value", _ids(server))
    assert codec.decode(b"\0" + schema_id.to_bytes(4, "big") + b"\x0a") == {"at": {"x": 5}}


@pytest.mark.parametrize(
    "schema", [_avro({"type": "object"}, schemaType="JSON"), {"schema": "syntax = 'proto3';", "schemaType": "PROTOBUF"}]
)
def test_a_schema_that_is_not_avro_is_unknown(server: Registry, schema: dict[str, Any]) -> None:
    schema_id = server.register("t-value", schema)
    with pytest.raises(UnknownSchema, match=f"schema id {schema_id} is not Avro"):
        _ids(server).schema_of(schema_id)
