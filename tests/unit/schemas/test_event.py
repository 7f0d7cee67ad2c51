"""CloudEvents in Kafka's binary mode, and records of others without their headers."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import orjson
import pytest
from support.avro import codec_of, record

from headrace.schemas.codec import BytesCodec, Codec, JsonCodec
from headrace.schemas.event import Event, KafkaHeaders, event_id, new_id, new_ids, to_headers, to_structured_json

DEFAULTS = {"type": "test.type", "source": "/feeds/test"}


def _read(codec: Codec, value: bytes | None, headers: KafkaHeaders | None = None, key: bytes | None = None) -> Any:
    text = to_structured_json(
        codec,
        DEFAULTS,
        topic="t",
        partition=2,
        offset=7,
        timestamp_ms=1_359_676_799_123,
        key=key,
        value=value,
        headers=headers,
    )
    return orjson.loads(text)


OF_OTHERS = {
    "specversion": "1.0",
    "id": "t:2:7",
    "type": "test.type",
    "source": "/feeds/test",
    "time": "2013-01-31T23:59:59.123Z",
    "partition": 2,
    "sequence": "0000000000000000007",
}


def test_json_of_others_is_an_event() -> None:
    assert _read(JsonCodec(), b'{\n"a": 1}') == {**OF_OTHERS, "datacontenttype": "application/json", "data": {"a": 1}}


def test_avro_of_others_is_an_event() -> None:
    codec = codec_of(record(a="int"))
    read = _read(codec, codec.encode({"a": 1}), key=b"k\xff")
    assert read == {**OF_OTHERS, "datacontenttype": "application/json", "data": {"a": 1}, "partitionkey": "k\ufffd"}


def test_raw_bytes_of_others_are_an_event() -> None:
    assert _read(BytesCodec("image/png"), b"\0\xff") == {
        **OF_OTHERS,
        "datacontenttype": "image/png",
        "data_base64": "AP8=",
    }


def test_a_tombstone_is_an_event_without_data() -> None:
    assert _read(JsonCodec(), None, key=b"k") == {**OF_OTHERS, "partitionkey": "k", "data": None}


@pytest.mark.parametrize(
    ("codec", "value"), [(codec_of("string"), b"\0\0\0\0\0\x09a"), (JsonCodec(), b"{"), (JsonCodec(), b"NaN")]
)
def test_a_value_that_cannot_be_decoded_is_shown_with_the_reason(codec: Codec, value: bytes) -> None:
    read = _read(codec, value)
    assert "data" not in read
    assert read["data_base64"]
    assert read["dataerror"]


def test_attributes_come_from_headers() -> None:
    event = Event("e1", "a.b", "/s", "2013-01-01T00:00:00Z", "subject", {"tenant": "x"})
    read = _read(JsonCodec(), b"1", to_headers(event, "application/json"))
    assert {name: read[name] for name in ("id", "type", "source", "time", "subject", "tenant", "specversion")} == {
        "id": "e1",
        "type": "a.b",
        "source": "/s",
        "time": "2013-01-01T00:00:00Z",
        "subject": "subject",
        "tenant": "x",
        "specversion": "1.0",
    }


HEADERS: list[list[tuple[str, str | bytes | None]]] = [
    [],
    [("ce_id", b"")],
    [("ce_id", None)],
    [("ce_id", "a"), ("ce_id", b"b")],
    [("ce_id", b"\xff")],
    [("ce_", b"x"), ("ce_time", b""), ("ce_type", None)],
    [("ce_data", b"x"), ("ce_data_base64", b"x"), ("ce_dataerror", b"x")],
    [("ce_partition", b"9"), ("ce_sequence", b"9"), ("ce_datacontenttype", b"text/plain")],
]


@pytest.mark.parametrize("headers", HEADERS)
def test_odd_headers_do_not_change_what_an_event_is(headers: KafkaHeaders) -> None:
    read = _read(JsonCodec(), b'"v"', headers)
    assert read["id"] == event_id(headers, "t", 2, 7)
    assert read["id"] != ""
    assert {**read, "id": "t:2:7"} == {**OF_OTHERS, "datacontenttype": "application/json", "data": "v"}


def test_ids_are_in_order_of_time_and_of_version_7() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all((uuid.UUID(each).version, uuid.UUID(each).variant) == (7, uuid.RFC_4122) for each in ids)
    assert [each[:13] for each in ids] == sorted(each[:13] for each in ids)


def test_ids_made_together_are_of_version_7_and_those_of_others_never() -> None:
    together = [list(itertools.islice(new_ids(), 1000)) for _ in range(20)]
    ids = [each for some in together for each in some]
    assert len(set(ids)) == 20_000
    assert all((uuid.UUID(each).version, uuid.UUID(each).variant) == (7, uuid.RFC_4122) for each in ids)
