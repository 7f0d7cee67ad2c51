"""The values of a feed's events: from JSON to the bytes in Kafka and back.

Avro values have Confluent's wire format: a zero byte, the schema id in four bytes (big-endian), the Avro body.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any, Protocol

import orjson
from fastavro import schemaless_reader, schemaless_writer
from fastavro._read_py import schemaless_reader as schemaless_reader_in_python

from headrace.schemas.avro_json import is_recursive, writable
from headrace.schemas.explain import Fault, explain
from headrace.schemas.feed import Feed
from headrace.schemas.ids import Ids, Schema

MAGIC = b"\x00"
PREFIX_BYTES = 5
MAX_NESTING = 100
"""Levels of a value whose type holds itself: what Python's stack and orjson can surely read again."""
_Reader = Callable[[BytesIO], Any]
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class InvalidData(ValueError):
    """Data that does not fit its feed's schema."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.pointer or '/'} {fault.detail}" for fault in faults))
        self.faults = faults


class Undecodable(ValueError):
    """Bytes in Kafka that are not what the feed says they are."""


class Codec(Protocol):
    """How a feed's values are encoded."""

    content_type: str

    def encode(self, data: Any) -> bytes:
        """Bytes for Kafka from a JSON value; raises `InvalidData`."""

    def decode(self, value: bytes) -> Any:
        """A value that `avro_json.to_json` can say; raises `Undecodable`."""


class AvroCodec:
    """Values with a schema. The newest schema writes; what older ones wrote is read as if the newest had."""

    content_type = "application/avro"

    def __init__(self, schema: Schema, subject: str, ids: Ids) -> None:
        self.schema = schema
        self._ids = ids
        self.prefix = MAGIC + ids.id_of(subject, schema).to_bytes(4, "big")
        self._convert = writable(schema.parsed)
        self._recursive = is_recursive(schema.parsed)
        self._readers: dict[bytes, _Reader] = {self.prefix: _reader(schema.parsed, None)}

    def encode(self, data: Any) -> bytes:
        """Validate and encode; raises `InvalidData` with a fault for every field that does not fit."""
        buffer = BytesIO()
        buffer.write(self.prefix)
        try:
            schemaless_writer(buffer, self.schema.parsed, self._convert(data))
            if self._recursive and not _is_flat(data, MAX_NESTING):
                raise RecursionError
        except Exception as error:  # fastavro raises many kinds, some of them from C
            raise InvalidData(self._faults(data, error)) from error
        return buffer.getvalue()

    def _faults(self, data: Any, error: Exception) -> list[Fault]:
        if isinstance(error, RecursionError):
            return [Fault("", "is nested too deeply")]
        return explain(self.schema.parsed, data) or [Fault("", str(error))]

    def encode_native(self, value: dict[str, Any]) -> bytes:
        """Encode a value that has Avro's own types already (datetime, Decimal): what stream processors hold."""
        buffer = BytesIO()
        buffer.write(self.prefix)
        schemaless_writer(buffer, self.schema.parsed, value)
        return buffer.getvalue()

    def decode(self, value: bytes) -> Any:
        """The decoded record."""
        prefix = value[:PREFIX_BYTES]
        read = self._readers.get(prefix) or self._resolve(prefix)
        buffer = BytesIO(value)
        buffer.seek(PREFIX_BYTES)
        try:
            decoded = read(buffer)
        except Exception as error:  # as above
            raise Undecodable(f"not {self.schema.name}: {type(error).__name__}: {error}") from error
        # The reader stops where the schema ends, whatever follows.
        if buffer.tell() != len(value):
            raise Undecodable(f"{len(value) - buffer.tell()} bytes too many for {self.schema.name}")
        return decoded

    def _resolve(self, prefix: bytes) -> _Reader:
        if len(prefix) < PREFIX_BYTES or prefix[:1] != MAGIC:
            raise Undecodable("no schema id in front of the value")
        try:
            writer = self._ids.schema_of(int.from_bytes(prefix[1:], "big"))
        except ValueError as error:
            raise Undecodable(str(error)) from error
        # Reading with a second schema is three times slower: only where the encodings differ.
        read = _reader(writer.parsed, None if writer.shape == self.schema.shape else self.schema.parsed)
        self._readers[prefix] = read
        return read


def _is_flat(data: Any, levels: int) -> bool:
    """Whether a JSON value is nested no deeper than that."""
    if not isinstance(data, dict | list):
        return True
    return levels > 0 and all(
        _is_flat(item, levels - 1) for item in (data.values() if isinstance(data, dict) else data)
    )


def _reader(writer: Any, reader: Any) -> _Reader:
    """A function that reads what `writer` wrote, as `reader` where that is another schema."""
    # Hostile bytes nest a recursive type as deep as they are long. The reader in C would overflow its stack and end
    # the process; the one in Python, half as fast, raises.
    read = schemaless_reader_in_python if is_recursive(writer) else schemaless_reader
    return lambda buffer: read(buffer, writer, reader)


class JsonCodec:
    """Values that are JSON text of any shape."""

    def __init__(self, content_type: str = "application/json") -> None:
        self.content_type = content_type

    def encode(self, data: Any) -> bytes:
        """JSON text; raises `InvalidData` where it is nested deeper than it could be read again."""
        try:
            return orjson.dumps(data)
        except TypeError as error:
            raise InvalidData([Fault("", f"cannot be written as JSON: {error}")]) from error

    def decode(self, value: bytes) -> Any:
        """The text as it is, to be put into other JSON text unchanged."""
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Undecodable(f"not JSON: {error}") from error
        # A line break in valid JSON is mere white space; without it an event is one line in every frame.
        return orjson.Fragment(value.translate(_ONE_LINE))


class BytesCodec:
    """Values that are opaque bytes; in JSON they are base64 text."""

    def __init__(self, content_type: str = "application/octet-stream") -> None:
        self.content_type = content_type

    def encode(self, data: Any) -> bytes:
        """Bytes from base64 text."""
        try:
            return base64.b64decode(data, validate=True)
        except (TypeError, ValueError) as error:
            raise InvalidData([Fault("", "expected base64 text")]) from error

    def decode(self, value: bytes) -> bytes:
        """The bytes themselves."""
        return value


class JsonOrBytesCodec(BytesCodec):
    """Values of many kinds, those of all streams: JSON text where one is that, else opaque bytes."""

    _json = JsonCodec()

    def decode(self, value: bytes) -> Any:
        """The text as it is, or the bytes themselves."""
        try:
            return self._json.decode(value)
        except Undecodable:
            return value


def codec_of(feed: Feed, schema: Schema | None, ids: Ids) -> Codec:
    """The codec of a feed; `schema` is the current one of an Avro feed."""
    if schema is not None:
        return AvroCodec(schema, feed.subject, ids)
    return JsonCodec(feed.media_type) if feed.format == "json" else BytesCodec(feed.media_type)
