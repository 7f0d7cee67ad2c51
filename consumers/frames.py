"""Pages of events in each of the media types in which they are to be had."""

from __future__ import annotations

from headrace.consumers import stream_frames
from headrace.consumers.avro_container import container
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.record import Record
from headrace.consumers.read_request import AVRO, BATCH, JSON, NDJSON
from headrace.schemas.codec import AvroCodec


def frame(feed_log: FeedLog, records: list[Record], media_type: str) -> tuple[bytes, int]:
    """Records as a page: a JSON array (a CloudEvents batch is one too), a JSON object in each line, or an Avro file.

    With it the number of records that it cannot hold (see `avro_container`).
    """
    if media_type == AVRO:
        codec = feed_log.entry.codec
        assert isinstance(codec, AvroCodec)
        return container(codec, records)
    if feed_log.entry.feed.is_stream and media_type != BATCH:
        return stream_frames.frame(feed_log, records, media_type), 0
    events = feed_log.jsons(records)
    if media_type == NDJSON:
        return b"".join(event + b"\n" for event in events), 0
    assert media_type in (JSON, BATCH)
    return b"[" + b",".join(events) + b"]", 0


def framed_bytes(feed_log: FeedLog, record: Record, media_type: str) -> int:
    """What a record adds to its page, in bytes."""
    if media_type == AVRO:
        return len(record.message.value() or b"")
    if feed_log.entry.feed.is_stream and media_type != BATCH:
        return len(stream_frames.value(record)) + 1
    return len(feed_log.json(record)) + 1
