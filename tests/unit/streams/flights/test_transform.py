"""What a batch of departures becomes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from headrace.schemas.catalogue import Catalogue, load_catalogue
from headrace.schemas.codec import AvroCodec
from headrace.schemas.ids import RegistryUnavailable
from headrace.settings import WorkerSettings
from headrace.streams.dedup import Seen
from headrace.streams.flights.aircraft import Aircraft
from headrace.streams.flights.enrich import Lookups
from headrace.streams.flights.transform import Outputs, Transform

NOTHING_KNOWN = Lookups({}, {}, {}, {})


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(WorkerSettings())


@pytest.fixture(scope="module")
def transform(catalogue: Catalogue) -> Transform:
    return Transform(catalogue["flights.departures"], catalogue["flights.enriched"], catalogue["aircraft"])


@pytest.fixture(scope="module")
def codec(catalogue: Catalogue) -> AvroCodec:
    codec = catalogue["flights.departures"].codec
    assert isinstance(codec, AvroCodec)
    return codec


def departure(hour: int, tailnum: str | None = "N1") -> dict[str, Any]:
    moment = datetime(2013, 1, 1, hour, tzinfo=UTC)
    return {
        "carrier": "UA",
        "flight": hour,
        "tailnum": tailnum,
        "origin": "EWR",
        "dest": "IAH",
        "scheduled_departure": moment,
        "hour": moment,
        "dep_delay_min": 3,
        "arr_delay_min": None,
        "air_time_min": None,
        "distance_mi": 1400,
    }


def record(offset: int, value: bytes | None, event_id: str | None = None) -> ConsumerRecord[bytes, bytes]:
    headers: list[tuple[str, bytes]] = [("ce_specversion", b"1.0"), ("ce_replayrow", b"7")]
    if event_id is not None:
        headers += [("ce_id", event_id.encode()), ("ce_time", b"2013-01-01T05:15:00Z")]
    return ConsumerRecord("flights.departures", 2, offset, 1_700_000_000_000, 0, b"N1", value, None, 2, 9, headers)


def run(transform: Transform, *records: ConsumerRecord[bytes, bytes], seen: Seen | None = None) -> Outputs:
    return transform(records, seen or Seen(100), NOTHING_KNOWN, Aircraft())


def test_every_departure_becomes_one_enriched_event_with_its_key_id_and_times(
    transform: Transform, codec: AvroCodec
) -> None:
    outputs = run(transform, *(record(n, codec.encode_native(departure(n)), f"e-{n}") for n in range(3)))
    assert [dict(out.headers)["ce_id"] for out in outputs.enriched] == [b"e-0", b"e-1", b"e-2"]
    first = outputs.enriched[0]
    assert (first.topic, first.key, first.timestamp_ms) == ("flights.enriched", b"N1", 1_700_000_000_000)
    assert dict(first.headers) == {
        "ce_id": b"e-0",
        "ce_time": b"2013-01-01T05:15:00Z",
        "ce_specversion": "1.0",
        "ce_type": "flights.departure.enriched",
        "ce_source": "/feeds/flights.enriched",
        "content-type": "application/avro",
    }


def test_a_repeat_is_dropped_and_counted(transform: Transform, codec: AvroCodec) -> None:
    value = codec.encode_native(departure(1))
    outputs = run(transform, record(0, value, "e-1"), record(1, value, "e-1"))
    assert (len(outputs.enriched), outputs.duplicates) == (1, 1)


def test_records_without_id_are_events_of_their_own(transform: Transform, codec: AvroCodec) -> None:
    value = codec.encode_native(departure(1))
    outputs = run(transform, record(0, value), record(1, value))
    assert [dict(out.headers)["ce_id"] for out in outputs.enriched] == [
        "flights.departures:2:0",
        "flights.departures:2:1",
    ]


@pytest.mark.parametrize("value", [b"", b"\0\0\0\0\4", b"\0\0\0\0\x63abc", b"plain text", None])
def test_what_is_no_departure_becomes_a_dead_letter_and_its_neighbours_go_on(
    transform: Transform, codec: AvroCodec, value: bytes | None
) -> None:
    good = codec.encode_native(departure(1))
    outputs = run(transform, record(0, good, "a"), record(1, value, "b"), record(2, good, "c"))
    assert len(outputs.enriched) == 2
    (dead,) = outputs.dead
    assert (dead.topic, dead.key, dead.value) == ("flights.departures.dead", b"N1", value)
    headers = dict(dead.headers)
    assert headers["ce_deadletterreason"]
    assert (headers["ce_deadletterpartition"], headers["ce_deadletteroffset"]) == ("2", "1")


def test_a_leg_has_the_id_of_the_departure_that_it_is(transform: Transform, codec: AvroCodec) -> None:
    outputs = run(transform, *(record(n, codec.encode_native(departure(h)), f"e-{h}") for n, h in enumerate((3, 9, 5))))
    (leg,) = outputs.legs
    assert (leg.topic, leg.key, dict(leg.headers)["ce_id"]) == ("aircraft", b"N1", b"e-9")


def test_a_registry_that_is_away_is_nobodys_dead_letter(
    catalogue: Catalogue, transform: Transform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(value: bytes) -> None:
        raise RegistryUnavailable("down")

    monkeypatch.setattr(transform, "_decode", away)
    with pytest.raises(RegistryUnavailable):
        run(transform, record(0, b"\0\0\0\0\4x", "a"))
