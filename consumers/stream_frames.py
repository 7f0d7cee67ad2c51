"""Messages of durable streams as they are read: values or bytes as they were posted, not CloudEvents around them."""

from __future__ import annotations

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.record import Record
from headrace.consumers.read_request import NDJSON
from headrace.durable.media_type import is_json


def value(record: Record) -> bytes:
    """A message as it was posted; others' tombstones are empty."""
    return record.message.value() or b""


def frame(feed_log: FeedLog, records: list[Record], media_type: str) -> bytes:
    """A page: a JSON array or a JSON value in each line, of a stream of JSON; else the bytes, one after the other."""
    values = [value(record) for record in records]
    if not is_json(feed_log.entry.feed.media_type):
        return b"".join(values)
    if media_type == NDJSON:
        return b"".join(message + b"\n" for message in values)
    return b"[" + b",".join(values) + b"]"
