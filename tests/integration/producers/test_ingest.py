"""Writing over HTTP: every form of a body, and what is said is what lies in Kafka."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import uuid
from typing import Any

import pytest
import zstandard
from confluent_kafka import Message
from support.records import records_of
from support.writer import Writer

from headrace.producers.incoming import MAX_EVENTS
from headrace.schemas.avro_json import to_json

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def _fresh() -> str:
    return uuid.uuid4().hex


def _event(data: Any, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": _fresh(), "type": "test.made", "source": "/tests", "data": data, **more}


def _in_kafka(writer: Writer, kind: str) -> dict[tuple[int | None, int | None], Message]:
    """The records of a feed by where they lie."""
    return {(r.partition(), r.offset()): r for r in records_of(writer.kafka, writer.feeds[kind], 0)}


def _check(writer: Writer, kind: str, answer: Any, data: list[Any]) -> list[Message]:
    """That every event lies where the answer says, with its id and its data."""
    records = _in_kafka(writer, kind)
    assert len(answer["events"]) == len(data)
    found = []
    for event, expected in zip(answer["events"], data, strict=True):
        record = records[event["partition"], event["offset"]]
        assert dict(record.headers() or [])["ce_id"] == event["id"].encode()
        read = writer.catalogue[writer.feeds[kind]].codec.decode(record.value() or b"")
        assert (read if isinstance(read, bytes) else json.loads(to_json(read))) == expected
        found.append(record)
    return found


async def test_one_event_is_where_the_answer_says(writer: Writer) -> None:
    status, answer = await writer.post("avro", {"id": "a", "n": 5})
    assert status == 200
    [record] = _check(writer, "avro", answer, [{"id": "a", "n": 5, "at": None}])
    assert record.key() == b"a"
    headers: dict[str, Any] = dict(record.headers() or [])
    assert headers["ce_type"] == b"test.Order"
    assert headers["content-type"] == b"application/avro"
    assert headers["ce_source"] == f"/feeds/{writer.feeds['avro']}".encode()


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF8"]
)
async def test_json_may_be_called_so_or_not(writer: Writer, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    path = writer.path("json")
    async with writer.http.post(path, data=b"{}", headers=headers, skip_auto_headers=["Content-Type"]) as answer:
        assert answer.status == 200


async def test_an_array_is_written_in_its_order(writer: Writer) -> None:
    data = [{"id": "same", "n": n, "at": None} for n in range(1200)]
    status, answer = await writer.post("avro", data)
    assert status == 200
    records = _check(writer, "avro", answer, data)
    offsets = [record.offset() or 0 for record in records]
    assert offsets == sorted(offsets)


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/jsonl"])
@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"\n\n"])
async def test_lines_are_events(writer: Writer, content_type: str, between: bytes) -> None:
    lines = between.join(b'{"n":%d}' % n for n in range(20)) + between
    status, answer = await writer.post("json", lines, content_type)
    assert status == 200
    _check(writer, "json", answer, [{"n": n} for n in range(20)])


async def test_a_structured_event_keeps_its_attributes(writer: Writer) -> None:
    event = _event({"id": "x"}, time="2013-01-31T00:00:00.5+01:00", subject="Grüße", tenant="t", count=5, flag=True)
    status, answer = await writer.post("avro", {**event, "partition": 9, "sequence": "9"}, STRUCTURED)
    assert (status, answer["events"][0]["id"]) == (200, event["id"])
    [record] = _check(writer, "avro", answer, [{"id": "x", "n": 0, "at": None}])
    found: dict[str, Any] = dict(record.headers() or [])
    headers = {name: value.decode() for name, value in found.items()}
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": event["id"],
        "ce_type": "test.made",
        "ce_source": "/tests",
        "ce_time": "2013-01-31T00:00:00.5+01:00",
        "ce_subject": "Grüße",
        "ce_tenant": "t",
        "ce_count": "5",
        "ce_flag": "true",
        "content-type": "application/avro",
    }


async def test_a_batch_is_several_events(writer: Writer) -> None:
    events = [_event({"id": str(n)}) for n in range(10)]
    status, answer = await writer.post("avro", events, BATCH)
    assert (status, [event["id"] for event in answer["events"]]) == (200, [event["id"] for event in events])
    _check(writer, "avro", answer, [{"id": str(n), "n": 0, "at": None} for n in range(10)])


async def test_a_binary_event_has_its_attributes_in_headers(writer: Writer) -> None:
    event_id = f"{_fresh()} Grüße"
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id.replace(" ", "%20").replace("ü", "%C3%BC").replace("ß", "%C3%9F"),
        "ce_type": "t",
        "ce_source": "/s",
        "ce_subject": "with%20space",
    }
    status, answer = await writer.post("avro", {"id": "b"}, **headers)
    assert (status, answer["events"][0]["id"]) == (200, event_id)
    [record] = _check(writer, "avro", answer, [{"id": "b", "n": 0, "at": None}])
    assert dict(record.headers() or [])["ce_subject"] == b"with space"


async def test_bytes_are_written_as_they_are(writer: Writer) -> None:
    status, answer = await writer.post("bytes", b"\x89PNG\0\xff", "image/png")
    assert status == 200
    _check(writer, "bytes", answer, [b"\x89PNG\0\xff"])
    event = _event(None, data_base64=base64.b64encode(b"\0\1").decode(), partitionkey="k")
    del event["data"]
    status, answer = await writer.post("bytes", event, STRUCTURED)
    assert status == 200
    [record] = _check(writer, "bytes", answer, [b"\0\1"])
    assert record.key() == b"k"
    status, answer = await writer.post(
        "bytes", b"", "image/png", ce_specversion="1.0", ce_id=_fresh(), ce_type="t", ce_source="/s"
    )
    assert status == 200
    _check(writer, "bytes", answer, [b""])


@pytest.mark.parametrize(
    ("kind", "event", "key"),
    [
        ("keyed", {"id": "Grüße"}, "Grüße".encode()),
        ("keyed", {"id": 5}, b"5"),
        ("keyed", {"id": ""}, b""),
        ("keyed", {"id": {"a": [1]}}, b'{"a":[1]}'),
        ("keyed", {"id": None}, None),
        ("keyed", {}, None),
        ("keyed", [[1]], None),
        ("json", {"id": "x"}, None),
    ],
)
async def test_the_key_is_the_feeds_field(writer: Writer, kind: str, event: Any, key: bytes | None) -> None:
    status, answer = await writer.post(kind, event)
    assert status == 200
    [record] = _check(writer, kind, answer, event if isinstance(event, list) else [event])
    assert record.key() == key


async def test_without_such_a_field_it_is_the_events_partition_key(writer: Writer) -> None:
    events = [_event({"n": n}, partitionkey="k") for n in range(20)]
    _, answer = await writer.post("json", events, BATCH)
    assert len({event["partition"] for event in answer["events"]}) == 1
    _, answer = await writer.post("keyed", _event({"id": "of the feed"}, partitionkey="k"), STRUCTURED)
    [record] = _check(writer, "keyed", answer, [{"id": "of the feed"}])
    assert record.key() == b"of the feed"


async def test_a_compacted_feed_needs_a_key(writer: Writer) -> None:
    assert (await writer.post("table", {"id": "a"}))[0] == 200
    status, answer = await writer.post("table", _event({}), STRUCTURED)
    assert status == 400
    assert [error["pointer"] for error in answer["errors"]] == ["/data/id"]


# What is refused


async def test_of_several_events_each_has_its_result(writer: Writer) -> None:
    status, answer = await writer.post("avro", [{"id": "a"}, {"id": 5, "x": 1}, {"id": "b" * 200_000}, {"id": "c"}])
    assert status == 207
    first, second, third, fourth = answer["events"]
    assert [event["status"] for event in answer["events"]] == [200, 400, 413, 200]
    assert {error["pointer"] for error in second["errors"]} == {"/id", "/x"}
    assert "at most 100000" in third["detail"]
    written = {"events": [first, fourth]}
    _check(writer, "avro", written, [{"id": "a", "n": 0, "at": None}, {"id": "c", "n": 0, "at": None}])


async def test_of_several_lines_each_has_its_result(writer: Writer) -> None:
    status, answer = await writer.post("avro", b'{"id":"a"}\n{"id"\n{"id":"c"}', "application/x-ndjson")
    assert (status, [event["status"] for event in answer["events"]]) == (207, [200, 400, 200])


async def test_when_all_are_bad_nothing_is_written(writer: Writer) -> None:
    before = len(_in_kafka(writer, "avro"))
    status, answer = await writer.post("avro", [{"id": 1}, {"n": "x", "id": "a"}])
    assert (status, answer["title"]) == (400, "Bad Request")
    assert [(error["index"], error["pointer"]) for error in answer["errors"]] == [(0, "/id"), (1, "/n")]
    assert len(_in_kafka(writer, "avro")) == before


BAD: list[tuple[str, str, bytes, int, list[str]]] = [
    ("avro", "application/json", b"", 400, []),
    ("avro", "application/json", b"{", 400, []),
    ("avro", "application/json", b"\xff", 400, []),
    ("avro", "application/json", b"[]", 400, []),
    ("avro", "application/json", b"NaN", 400, []),
    ("json", "application/json", b'{"n": 1e999}', 400, []),
    ("json", "application/json", b"[" * 300 + b"]" * 300, 400, [""]),
    ("json", "application/json", b"[" * 3000 + b"]" * 3000, 400, []),
    ("avro", "application/x-ndjson", b"\n\n", 400, []),
    ("avro", "application/json", b'{"id": "a", "at": "2013-01-31"}', 400, ["/at"]),
    ("avro", STRUCTURED, b"[]", 400, [""]),
    ("avro", STRUCTURED, b'{"data": {}}', 400, ["/specversion", "/id", "/source", "/type"]),
    ("avro", BATCH, b"{}", 400, []),
    ("avro", "text/plain", b"{}", 415, []),
    ("avro", "application/xml", b"{}", 415, []),
    ("avro", "application/json; charset=latin-1", b"{}", 415, []),
    ("bytes", "image/jpeg", b"x", 415, []),
    ("bytes", "application/json", b"{}", 415, []),
]


@pytest.mark.parametrize(("kind", "content_type", "body", "expected", "pointers"), BAD)
async def test_a_bad_body_is_told_with_its_place(
    writer: Writer, kind: str, content_type: str, body: bytes, expected: int, pointers: list[str]
) -> None:
    status, answer = await writer.post(kind, body, content_type)
    assert status == expected == answer["status"]
    assert [error["pointer"] for error in answer.get("errors", [])] == pointers


ATTRIBUTES: list[tuple[dict[str, Any], str]] = [
    ({"id": ""}, "/id"),
    ({"id": 5}, "/id"),
    ({"id": "a\nb"}, "/id"),
    ({"id": "a\u0000"}, "/id"),
    ({"id": "x" * 1025}, "/id"),
    ({"source": "a\r\nSet-Cookie: x"}, "/source"),
    ({"specversion": "0.3"}, "/specversion"),
    ({"time": "yesterday"}, "/time"),
    ({"time": "2013-W05-4T00:00:00Z"}, "/time"),
    ({"time": "2013-01-31T00:00:00"}, "/time"),
    ({"time": 5}, "/time"),
    ({"subject": {}}, "/subject"),
    ({"partitionkey": 5}, "/partitionkey"),
    ({"dataschema": []}, "/dataschema"),
    ({"Tenant": "x"}, "/Tenant"),
    ({"a/b": "x"}, "/a~1b"),
    ({"tenant": {"a": 1}}, "/tenant"),
    ({"tenant": "\u0007"}, "/tenant"),
    ({"data_base64": "AA=="}, "/data_base64"),
    ({"data": {"id": "a", "n": "x"}}, "/data/n"),
    ({"data": None}, "/data"),
]


@pytest.mark.parametrize(("changes", "pointer"), ATTRIBUTES)
async def test_a_bad_attribute_is_told_with_its_place(writer: Writer, changes: dict[str, Any], pointer: str) -> None:
    status, answer = await writer.post("avro", {**_event({"id": "a"}), **changes}, STRUCTURED)
    assert status == 400
    assert [error["pointer"] for error in answer["errors"]] == [pointer]


async def test_a_binary_event_without_its_version_does_not_lose_its_id(writer: Writer) -> None:
    status, answer = await writer.post("avro", {"id": "a"}, ce_id="x", ce_type="t", ce_source="/s")
    assert (status, [error["pointer"] for error in answer["errors"]]) == (400, ["/specversion"])


@pytest.mark.parametrize("name", ["nowhere", "..%2f", "%ff", "a" * 500])
async def test_an_unknown_feed_is_not_found(writer: Writer, name: str) -> None:
    async with writer.http.post(f"{writer.url}/v1/feeds/{name}/events", data=b"{}") as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"


async def test_other_methods_and_dead_letters_are_not_allowed(writer: Writer) -> None:
    async with writer.http.put(writer.path("avro"), data=b"{}") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    status, _ = await writer.post(writer.feeds["avro"] + ".dead", {})
    assert status == 405


async def test_too_large_a_body_is_refused(writer: Writer) -> None:
    status, answer = await writer.post("json", b'"' + b"x" * 2_000_001 + b'"')
    assert (status, answer["max_bytes"]) == (413, 2_000_000)

    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 65_536

    async with writer.http.post(writer.path("json"), data=chunks()) as answered:
        assert answered.status == 413


@pytest.mark.parametrize(
    ("content_type", "item", "between"), [("application/json", b"1", b","), ("application/x-ndjson", b"1", b"\n")]
)
async def test_too_many_events_are_refused(writer: Writer, content_type: str, item: bytes, between: bytes) -> None:
    body = between.join([item] * (MAX_EVENTS + 2))
    status, answer = await writer.post("json", b"[" + body + b"]" if between == b"," else body, content_type)
    assert (status, answer["max_events"]) == (413, MAX_EVENTS)


async def test_an_event_larger_than_kafka_takes_is_refused(writer: Writer) -> None:
    event = _event({"n": 1}, subject="x" * 1_100_000)
    assert (await writer.post("json", event, STRUCTURED))[0] == 413


# Content-Encoding


BODY = b"\n".join(b'{"n":%d}' % n for n in range(500))
ENCODED = {"gzip": gzip.compress(BODY), "zstd": zstandard.compress(BODY)}
PARTS = {
    "gzip": gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:]),
    "zstd": zstandard.compress(BODY[:1000]) + zstandard.compress(BODY[1000:]),
}


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("encoded", [ENCODED, PARTS])
async def test_a_compressed_body_is_inflated(writer: Writer, encoding: str, encoded: dict[str, bytes]) -> None:
    status, answer = await writer.post("json", encoded[encoding], "application/x-ndjson", Content_Encoding=encoding)
    assert status == 200
    _check(writer, "json", answer, [{"n": n} for n in range(500)])


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("cut", [1, 5, 20, -1])
async def test_a_truncated_body_is_refused(writer: Writer, encoding: str, cut: int) -> None:
    sent = ENCODED[encoding][:-cut] if cut > 0 else b""
    before = len(_in_kafka(writer, "json"))
    status, answer = await writer.post("json", sent, "application/x-ndjson", Content_Encoding=encoding)
    assert (status, f"not valid {encoding}" in answer["detail"]) == (400, True)
    assert len(_in_kafka(writer, "json")) == before


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize(
    "spoil", [lambda b: b"{}", lambda b: b + b"garbage", lambda b: b[:30] + b"\xff\xff\xff" + b[33:]]
)
async def test_a_corrupt_body_is_refused(writer: Writer, encoding: str, spoil: Any) -> None:
    status, _ = await writer.post("json", spoil(ENCODED[encoding]), "application/x-ndjson", Content_Encoding=encoding)
    assert status == 400


BOMB = b"[" + b" " * 50_000_000 + b"1]"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_bomb_is_refused(writer: Writer, encoding: str) -> None:
    bomb = gzip.compress(BOMB) if encoding == "gzip" else zstandard.compress(BOMB)
    assert len(bomb) < 100_000
    status, _ = await writer.post("json", bomb, Content_Encoding=encoding)
    assert status == 413


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_body_that_expands_to_nothing_ends_somewhere(writer: Writer, encoding: str) -> None:
    empty = gzip.compress(b"") if encoding == "gzip" else zstandard.compress(b"")

    async def chunks() -> Any:
        for _ in range(100):
            yield empty * (50_000 // len(empty))

    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    async with writer.http.post(writer.path("json"), data=chunks(), headers=headers) as answer:
        assert answer.status == 413


async def test_another_encoding_is_refused(writer: Writer) -> None:
    status, answer = await writer.post("json", b"x", Content_Encoding="br")
    assert (status, "gzip, zstd" in answer["detail"]) == (415, True)


# Idempotency-Key


async def test_a_key_gives_a_retry_the_same_ids(writer: Writer) -> None:
    for body in ({"n": 1}, [{"n": 1}], [{"n": 1}, {"n": 2}]):
        key = _fresh()
        answers = [await writer.post("json", body, Idempotency_Key=key) for _ in range(2)]
        assert [status for status, _ in answers] == [200, 200]
        first, second = ([event["id"] for event in answer["events"]] for _, answer in answers)
        assert first == second == ([key] if len(first) == 1 else [f"{key}/0", f"{key}/1"])


async def test_a_key_with_another_body_is_refused(writer: Writer) -> None:
    key = _fresh()
    assert (await writer.post("json", {"n": 1}, Idempotency_Key=key))[0] == 200
    status, answer = await writer.post("json", {"n": 2}, Idempotency_Key=key)
    assert (status, "another body" in answer["detail"]) == (422, True)
    assert (await writer.post("keyed", {"n": 2}, Idempotency_Key=key))[0] == 200


async def test_a_key_of_which_nothing_was_written_is_free(writer: Writer) -> None:
    key = _fresh()
    assert (await writer.post("avro", {"n": 1}, Idempotency_Key=key))[0] == 400
    assert (await writer.post("avro", {"id": "a"}, Idempotency_Key=key))[0] == 200


async def test_a_key_under_way_is_a_conflict(writer: Writer) -> None:
    key = _fresh()
    body = [{"n": n} for n in range(5000)]
    answers = await asyncio.gather(*(writer.post("json", body, Idempotency_Key=key) for _ in range(4)))
    assert sorted({status for status, _ in answers}) == [200, 409]


@pytest.mark.parametrize("key", ["", " ", '""', "x" * 256, "a\tb"])
async def test_a_key_that_cannot_be_an_id_is_refused(writer: Writer, key: str) -> None:
    assert (await writer.post("json", {"n": 1}, Idempotency_Key=key))[0] == 400


# Order, and nothing lost


async def test_requests_of_one_connection_keep_their_order(writer: Writer) -> None:
    offsets: list[int] = []
    for n in range(50):
        _, answer = await writer.post("avro", [{"id": "one key", "n": 10 * n + m} for m in range(10)])
        offsets += [event["offset"] for event in answer["events"]]
    assert offsets == sorted(offsets)


async def test_nothing_that_was_answered_is_missing(writer: Writer) -> None:
    async def client(number: int) -> list[str]:
        said: list[str] = []
        for n in range(40):
            status, answer = await writer.post("keyed", [{"id": f"{number}"}] * (1 + n % 5))
            assert status == 200
            said += [event["id"] for event in answer["events"]]
        return said

    said = [event_id for ids in await asyncio.gather(*(client(n) for n in range(16))) for event_id in ids]
    assert len(said) == len(set(said)) == 16 * 120
    written = [dict(record.headers() or [])["ce_id"] for record in _in_kafka(writer, "keyed").values()]
    assert set(said) <= {value.decode() for value in written if isinstance(value, bytes)}
