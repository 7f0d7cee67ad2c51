"""Encoding records whose fields have the same values again and again: each value is encoded once, and then only copied.

An Avro record is encoded as its fields, one after the other, with nothing between them (Avro 1.12, Binary Encoding,
Records).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from typing import Any

from fastavro import schemaless_writer

from headrace.schemas.codec import AvroCodec

NULL = b"\x00"
"""The encoding of null in a union that begins with it."""

REMEMBERED = 10_000
"""Values of one field whose encodings are kept."""


class FieldwiseEncoder:
    """Encodes values that have Avro's own types already: what a decoder gives.

    The fields `ready` are given as bytes that `part` has made: nested records that many events share. The others must
    be hashable, and of one type each: to the memory True, 1 and 1.0 are the same. Raises ValueError where a `ready`
    field is not a union that begins with null.
    """

    def __init__(self, codec: AvroCodec, ready: Sequence[str] = ()) -> None:
        fields = codec.schema.parsed["fields"]
        for field in fields:
            if field["name"] in ready and not (isinstance(field["type"], list) and field["type"][0] == "null"):
                raise ValueError(f"{field['name']} of {codec.schema.name} must be a union that begins with null")
        self._prefix = codec.prefix
        self._writers = {field["name"]: _writer(codec.schema.parsed, field) for field in fields}
        self._steps = [
            (name, None if name in ready else lru_cache(REMEMBERED)(write)) for name, write in self._writers.items()
        ]

    def part(self, name: str, value: Any) -> bytes:
        """The encoding of one field's value."""
        return self._writers[name](value)

    def encode(self, value: Mapping[str, Any]) -> bytes:
        """The value for Kafka. Raises KeyError for a missing field, what fastavro raises for one that does not fit."""
        return self._prefix + b"".join(
            [value[name] if write is None else write(value[name]) for name, write in self._steps]
        )


def _writer(schema: Any, field: Any) -> Callable[[Any], bytes]:
    name, alone = field["name"], {**schema, "fields": [field]}

    def write(value: Any) -> bytes:
        buffer = BytesIO()
        schemaless_writer(buffer, alone, {name: value})
        return buffer.getvalue()

    return write
