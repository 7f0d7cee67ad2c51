"""Encoding field by field, with a memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.schemas.catalogue import load_catalogue
from headrace.schemas.codec import AvroCodec
from headrace.schemas.fieldwise import NULL, FieldwiseEncoder
from headrace.schemas.sample import sample
from headrace.settings import Settings

PARTS = ("origin_airport", "dest_airport", "plane", "weather")


@pytest.fixture(scope="module")
def codec() -> AvroCodec:
    codec = load_catalogue(Settings())["flights.enriched"].codec
    assert isinstance(codec, AvroCodec)
    return codec


def with_parts(encoder: FieldwiseEncoder, value: dict[str, Any]) -> dict[str, Any]:
    return value | {name: encoder.part(name, value[name]) for name in PARTS}


def test_the_bytes_are_those_of_the_ordinary_writer(codec: AvroCodec) -> None:
    value = codec.decode(codec.encode_native(sample(codec.schema.parsed)))
    encoder = FieldwiseEncoder(codec, PARTS)
    for _ in range(2):  # once written, once remembered
        assert encoder.encode(with_parts(encoder, value)) == codec.encode_native(value)


def test_the_place_of_a_ready_field_does_not_matter(codec: AvroCodec) -> None:
    value = codec.decode(codec.encode_native(sample(codec.schema.parsed)))
    encoder = FieldwiseEncoder(codec, ("tailnum", *PARTS))
    ready = with_parts(encoder, value) | {"tailnum": encoder.part("tailnum", value["tailnum"])}
    assert encoder.encode(ready) == codec.encode_native(value)


def test_null_takes_one_byte(codec: AvroCodec) -> None:
    encoder = FieldwiseEncoder(codec, PARTS)
    assert {encoder.part(name, None) for name in PARTS} == {NULL}


def test_ready_fields_are_unions_that_begin_with_null(codec: AvroCodec) -> None:
    with pytest.raises(ValueError, match="begins with null"):
        FieldwiseEncoder(codec, ("carrier",))


def test_a_value_that_does_not_fit_is_refused_every_time(codec: AvroCodec) -> None:
    encoder = FieldwiseEncoder(codec, PARTS)
    value = with_parts(encoder, codec.decode(codec.encode_native(sample(codec.schema.parsed))))
    for _ in range(2):
        with pytest.raises(Exception, match="flight"):
            encoder.encode(value | {"flight": "not a number"})
    assert encoder.encode(value | {"hour": datetime(2013, 1, 1, tzinfo=UTC)})
