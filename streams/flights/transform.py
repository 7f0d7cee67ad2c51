"""Departures in, enriched departures and latest legs out: one batch of one partition at a time. No Kafka, no Faust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from headrace.kafka.bridge import Headers, Outgoing
from headrace.schemas.catalogue import Entry
from headrace.schemas.codec import AvroCodec, Undecodable
from headrace.schemas.dead_letter import dead_letter
from headrace.schemas.event import SPEC_VERSION
from headrace.schemas.event import event_id as identify
from headrace.schemas.feed import Feed
from headrace.schemas.fieldwise import FieldwiseEncoder
from headrace.schemas.ids import RegistryUnavailable
from headrace.streams.dedup import Seen
from headrace.streams.flights.aircraft import Aircraft
from headrace.streams.flights.enrich import READY, Departure, Lookups, enrich
from headrace.streams.transport.batch import Record

KEPT = ("ce_id", "ce_time", "ce_subject")
"""What an event that was made of another has from it: above all its id, by which repeats are known."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a batch became."""

    enriched: list[Outgoing] = field(default_factory=list)
    legs: list[Outgoing] = field(default_factory=list)
    dead: list[Outgoing] = field(default_factory=list)
    duplicates: int = 0


class Transform:
    """The transform of batches of departures: `transform(records, seen, lookups, aircraft)`."""

    def __init__(self, departures: Entry, enriched: Entry, legs: Entry) -> None:
        self.encoder = FieldwiseEncoder(_avro(enriched), READY)
        self._decode = departures.codec.decode
        self._encode_leg = _avro(legs).encode_native
        self._dead_letters = departures.feed.dead_letter_topic
        self._enriched_topic, self._legs_topic = enriched.feed.topic, legs.feed.topic
        self._enriched_headers, self._legs_headers = _own_headers(enriched.feed), _own_headers(legs.feed)

    def __call__(self, records: Sequence[Record], seen: Seen, lookups: Lookups, aircraft: Aircraft) -> Outputs:
        """What the records of one partition become, in their order. `seen` and `aircraft` learn of them."""
        outputs = Outputs()
        duplicates = 0
        departures: list[Departure] = []
        origins: dict[tuple[str | None, datetime], tuple[Headers, int]] = {}
        for record in records:
            kept: Headers = [header for header in record.headers if header[0] in KEPT]
            event_id = next((value for name, value in kept if name == "ce_id"), None)
            if isinstance(event_id, bytes) and not seen.add(event_id, record.offset):
                duplicates += 1
                continue
            try:
                departure = self._departure(record)
                value = self.encoder.encode(enrich(departure, lookups))
            except RegistryUnavailable:
                raise
            except Exception as error:  # whatever is wrong with one event must not stop the others
                outputs.dead.append(self._dead_letter(record, f"{type(error).__name__}: {error}"))
                continue
            if event_id is None:
                kept.append(("ce_id", identify(None, record.topic, record.partition, record.offset)))
            headers = kept + self._enriched_headers
            outputs.enriched.append(Outgoing(self._enriched_topic, record.key, value, headers, record.timestamp))
            departures.append(departure)
            origins[departure["tailnum"], departure["scheduled_departure"]] = kept, record.timestamp
        seen.passed(records[-1].offset)
        for tailnum, leg in aircraft.latest_legs(departures).items():
            kept, timestamp_ms = origins[tailnum, leg["scheduled_departure"]]
            headers = kept + self._legs_headers
            outputs.legs.append(
                Outgoing(self._legs_topic, tailnum.encode(), self._encode_leg(leg), headers, timestamp_ms)
            )
        return replace(outputs, duplicates=duplicates)

    def _dead_letter(self, record: Record, reason: str) -> Outgoing:
        place = (record.topic, record.partition, record.offset)
        return dead_letter(place, record.key, record.value, record.headers, self._dead_letters, reason)

    def _departure(self, record: Record) -> Departure:
        if record.value is None:
            raise Undecodable("the record has no value")
        departure: Departure = self._decode(record.value)
        return departure


def _avro(entry: Entry) -> AvroCodec:
    assert isinstance(entry.codec, AvroCodec), f"{entry.feed.name} must have a schema"
    return entry.codec


def _own_headers(feed: Feed) -> Headers:
    return [
        ("ce_specversion", SPEC_VERSION),
        ("ce_type", feed.event_type),
        ("ce_source", f"/feeds/{feed.name}"),
        ("content-type", AvroCodec.content_type),
    ]
