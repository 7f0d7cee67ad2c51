"""The key by which events are kept in order."""

from __future__ import annotations

import hashlib

from headrace.consumers.core.record import Record
from headrace.consumers.relay.options import Options

MOST_BYTES = 16
"""A grant of 10,000 events must fit into one record of 1,000,000 bytes, librdkafka's `message.max.bytes`."""


def order_key(record: Record, options: Options) -> bytes | None:
    """The key that an event is lined up and noted by, a long one as its BLAKE2b; None where its order is no matter."""
    key = record.key if options.ordering == "key" else None
    if key is None or len(key) <= MOST_BYTES:
        return key
    return hashlib.blake2b(key, digest_size=MOST_BYTES).digest()
