"""From a row's data to the bytes that Kafka gets, for data that has Avro's own types already."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any

from fastavro import schemaless_writer

from headrace.schemas.avro_json import to_json
from headrace.schemas.codec import AvroCodec, Codec, InvalidData
from headrace.schemas.explain import Fault

Encode = Callable[[Any], bytes]

REMEMBERED = 10_000
"""Values of one field whose encodings are kept."""


def native(codec: Codec) -> Encode:
    """Encodes what a decoder of Avro gives: datetimes, decimals, bytes. The function raises `InvalidData`."""
    write = codec.encode_native if isinstance(codec, AvroCodec) else _plain

    def encode(data: Any) -> bytes:
        try:
            return write(data)
        except Exception as error:  # fastavro raises many kinds, some of them from C
            raise InvalidData([Fault("", f"{type(error).__name__}: {error}")]) from error

    return encode


def _plain(data: Any) -> bytes:
    return data if isinstance(data, bytes) else to_json(data)


def repetitive(codec: Codec) -> Encode:
    """Encodes flat records whose fields repeat their values: each value is encoded once, and then only copied.

    An Avro record is its fields' encodings, one after the other (Avro 1.12, Binary Encoding, Records). A flight takes
    the writer 15 µs, and so 3. Not for data of unknown types: to the memory True, 1 and 1.0 are the same.
    """
    if not isinstance(codec, AvroCodec):
        return native(codec)
    schema, prefix = codec.schema.parsed, codec._prefix
    fields = [(field["name"], _remembering(schema, field)) for field in schema["fields"]]
    return lambda data: prefix + b"".join([write(data[name]) for name, write in fields])


def _remembering(schema: Any, field: Any) -> Encode:
    name, alone = field["name"], {**schema, "fields": [field]}

    @lru_cache(maxsize=REMEMBERED)
    def write(value: Any) -> bytes:
        buffer = BytesIO()
        schemaless_writer(buffer, alone, {name: value})
        return buffer.getvalue()

    return write
