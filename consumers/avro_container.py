"""Records as an Avro object container file (Avro 1.12, "Object Container Files"): the values, as the feed's schema.

What lies in Kafka is already what a block holds, but for the schema's id in front; so it is copied, not decoded. Only
values that an older schema wrote are read and written anew.
"""

from __future__ import annotations

import hashlib
from io import BytesIO

import orjson
from fastavro import schemaless_writer

from headrace.consumers.core.record import Record
from headrace.schemas.codec import PREFIX_BYTES, AvroCodec, Undecodable

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
BLOCK_BYTES = 64 * 1024


def container(codec: AvroCodec, records: list[Record]) -> tuple[bytes, int]:
    """A file with the values of the records, and how many are not in it: tombstones, and what has no known schema."""
    sync = hashlib.sha256(codec.schema.name.encode()).digest()[:SYNC_BYTES]
    out = bytearray(_header(codec, sync))
    block: list[bytes] = []
    size_bytes = left_out = 0
    for record in records:
        body = _body(codec, record)
        if body is None:
            left_out += 1
            continue
        block.append(body)
        size_bytes += len(body)
        if size_bytes >= BLOCK_BYTES:
            out += _block(block, size_bytes, sync)
            block, size_bytes = [], 0
    if block:
        out += _block(block, size_bytes, sync)
    return bytes(out), left_out


def _body(codec: AvroCodec, record: Record) -> bytes | None:
    value = record.message.value()
    if value is None:
        return None
    if value.startswith(codec.prefix):
        return value[PREFIX_BYTES:]
    try:
        decoded = codec.decode(value)
    except Undecodable:
        return None
    buffer = BytesIO()
    schemaless_writer(buffer, codec.schema.parsed, decoded)
    return buffer.getvalue()


def _header(codec: AvroCodec, sync: bytes) -> bytes:
    meta = {"avro.schema": orjson.dumps(codec.schema.definition()), "avro.codec": b"null"}
    entries = b"".join(_bytes(name.encode()) + _bytes(value) for name, value in meta.items())
    return MAGIC + _long(len(meta)) + entries + _long(0) + sync


def _block(bodies: list[bytes], size_bytes: int, sync: bytes) -> bytes:
    return b"".join((_long(len(bodies)), _long(size_bytes), *bodies, sync))


def _bytes(value: bytes) -> bytes:
    return _long(len(value)) + value


def _long(number: int) -> bytes:
    """A number that is not negative, in Avro's encoding: zigzag, then seven bits in each byte."""
    left = number << 1
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)
