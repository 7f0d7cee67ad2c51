"""From a row to the record that Kafka gets."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from headrace.kafka.bridge import Outgoing
from headrace.kafka.topics import keyless_partition
from headrace.producers.replay.resume import ROW, RUN
from headrace.producers.replay.row import Row, Source, Unfit
from headrace.schemas.catalogue import Entry
from headrace.schemas.codec import InvalidData
from headrace.schemas.event import PREFIX, Event, now, rfc3339, to_headers
from headrace.schemas.feed import record_key


class Ready(NamedTuple):
    """A row that can be written."""

    number: int
    time_ms: int | None
    record: Outgoing


class Encoder:
    """Makes records of one feed from the rows of one source, marked with the run."""

    def __init__(self, entry: Entry, source: Source, partitions: int, *, run: str, max_event_bytes: int) -> None:
        self._partitions = partitions
        self._feed = entry.feed
        self._encode = source.encoder(entry.codec)
        # All headers but three are the same on every record.
        marks = {ROW: "", RUN: run}
        event = Event("", entry.feed.event_type, source.uri, "", extensions=marks)
        self._headers = dict(to_headers(event, entry.codec.content_type))
        # Rows that follow one another often have the same time.
        self._rfc3339 = lru_cache(maxsize=1_000)(rfc3339)
        self._max_event_bytes = max_event_bytes

    def encode(self, row: Row) -> Ready | Unfit:
        """The record. Its timestamp, when the event was accepted, is that of its handing over to Kafka."""
        feed = self._feed
        try:
            value = self._encode(row.data)
        except InvalidData as error:
            return Unfit(row.number, str(error), row.line)
        if len(value) > self._max_event_bytes:
            reason = f"is {len(value)} bytes; at most {self._max_event_bytes} are taken"
            return Unfit(row.number, reason, row.line)
        found = row.data.get(feed.key) if feed.key is not None and isinstance(row.data, dict) else None
        if found is None and feed.compacted:
            return Unfit(row.number, f"/{feed.key} is the key, and a compacted feed needs one", row.line)
        event_time = now() if row.time_ms is None else self._rfc3339(row.time_ms)
        own = {"ce_id": row.id, "ce_time": event_time, PREFIX + ROW: str(row.number)}
        headers = list({**self._headers, **own}.items())
        key = record_key(found)
        partition = -1 if key is not None else keyless_partition(row.id, self._partitions)
        record = Outgoing(feed.topic, key, value, headers, partition=partition)
        return Ready(row.number, row.time_ms, record)
