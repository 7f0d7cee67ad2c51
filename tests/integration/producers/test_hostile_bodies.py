"""Whatever is sent, the answer is never an error of ours."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.avro import any_json
from support.writer import Writer

FORMS = [
    "",
    "application/json",
    "application/x-ndjson",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "image/png",
    "text/plain; charset=x",
    ";;;",
    "\u00ff/\u00ff",
]
KINDS = ["avro", "table", "json", "keyed", "bytes"]
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

NAUGHTY = [
    "undefined",
    "null",
    "-1E+02",
    "1/0",
    "NaN",
    "0x0",
    "1;DROP TABLE users",
    "' OR 1=1 -- 1",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "%s%n%x",
    "../../../etc/passwd%00",
    "$HOME",
    "\\\\?\\C:\\",
    "Ω≈ç√∫µ≤≥÷",
    "田中さんにあげて下さい",
    "\U0001f469\U0001f3fd\u200d\U0001f692",
    "\u202etest\u202e",
    "Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮",
    "\ufeff",
    "\u2028",
    "\u0000",
    "\r\nX: y",
    "\u0085",
    "\ufffe",
    " ",
    "x" * 5000,
]


async def _status(writer: Writer, kind: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    async with writer.http.post(writer.path(kind), data=body, headers=headers) as answer:
        return answer.status, await answer.read()


@MANY
@given(
    kind=st.sampled_from(KINDS),
    form=st.sampled_from(FORMS),
    body=st.binary(max_size=60),
    zipped=st.sampled_from(["", "gzip", "zstd"]),
)
async def test_any_bytes_are_taken_or_refused(writer: Writer, kind: str, form: str, body: bytes, zipped: str) -> None:
    headers = {"Content-Type": form, "Content-Encoding": zipped}
    status, answer = await _status(writer, kind, body, headers)
    assert status in (200, 207, 400, 415), answer


@MANY
@given(kind=st.sampled_from(KINDS), form=st.sampled_from(FORMS[:5]), value=any_json())
async def test_any_json_is_taken_or_refused(writer: Writer, kind: str, form: str, value: Any) -> None:
    try:
        body = orjson.dumps(value)
    except TypeError:
        body = str(value).encode("utf-8", "replace")
    status, answer = await _status(writer, kind, body, {"Content-Type": form})
    assert status in (200, 207, 400, 415), answer


@MANY
@given(
    kind=st.sampled_from(KINDS),
    event=st.fixed_dictionaries(
        {},
        optional={
            name: any_json() | st.sampled_from(["1.0", "x"])
            for name in (
                "specversion",
                "id",
                "type",
                "source",
                "time",
                "subject",
                "data",
                "data_base64",
                "partitionkey",
                "x",
            )
        },
    ),
)
async def test_any_event_is_taken_or_refused(writer: Writer, kind: str, event: dict[str, Any]) -> None:
    whole = {"specversion": "1.0", "id": "i", "type": "t", "source": "s", **event}
    try:
        body = orjson.dumps(whole)
    except TypeError:
        return
    status, answer = await _status(writer, kind, body, {"Content-Type": "application/cloudevents+json"})
    assert status in (200, 400), answer


@pytest.mark.parametrize("text", NAUGHTY)
async def test_naughty_text_is_kept_or_refused_wherever_it_stands(writer: Writer, text: str) -> None:
    allowed = len(text) <= 1024 and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)
    event = {"specversion": "1.0", "id": text, "type": text, "source": text, "data": {"id": text}}
    status, answer = await writer.post("avro", event, "application/cloudevents+json")
    assert (status, allowed) in ((200, True), (400, False))
    if allowed:
        assert answer["events"][0]["id"] == text
    status, _ = await writer.post("avro", {"id": text})
    assert status == 200
    status, _ = await writer.post("avro", {text: text})
    assert status == 400


HEADER_BYTES = [b"\xff\xfe", b"caf\xe9", b"\xc3\xa9", b"%ff%fe", b"%0d%0aX:%20y", b"\x01", b"a" * 2000, b"\xed\xb0\x80"]


@pytest.mark.parametrize("content", HEADER_BYTES)
@pytest.mark.parametrize(
    "name", [b"Content-Type", b"Content-Encoding", b"Idempotency-Key", b"ce-id", b"ce-x", b"ce-\xc3\xa9"]
)
async def test_any_bytes_in_a_header_are_taken_or_refused(writer: Writer, name: bytes, content: bytes) -> None:
    head = [b"POST /v1/feeds/%s/events HTTP/1.1" % writer.feeds["json"].encode(), b"Host: x", b"Content-Length: 2"]
    if name.startswith(b"ce-"):
        head += [b"ce-specversion: 1.0", b"ce-type: t", b"ce-source: s"]
        head += [b"ce-id: i"] if name != b"ce-id" else []
    status, answer = await _raw(writer, b"\r\n".join([*head, name + b": " + content, b"Connection: close", b"", b"{}"]))
    assert status in (200, 400, 415), answer


async def _raw(writer: Writer, request: bytes) -> tuple[int, bytes]:
    host, port = writer.url.removeprefix("http://").split(":")
    reader, stream = await asyncio.open_connection(host, int(port))
    stream.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    stream.close()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n{}\r\n", b"2\r\n{}xx0\r\n\r\n", b"-1\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffffffff\r\n{}"]
)
async def test_a_body_that_is_not_framed_right_is_refused(writer: Writer, chunks: bytes) -> None:
    path = writer.path("json").removeprefix(writer.url).encode()
    head = (
        b"POST "
        + path
        + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
    )
    status, answer = await _raw(writer, head + chunks)
    assert status in (400, 413), answer


async def test_a_client_that_goes_away_in_the_middle_leaves_the_service_well(writer: Writer) -> None:
    host, port = writer.url.removeprefix("http://").split(":")
    path = writer.path("json").removeprefix(writer.url).encode()
    for _ in range(20):
        _, stream = await asyncio.open_connection(host, int(port))
        stream.write(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        await stream.drain()
        stream.transport.abort()
    assert (await writer.post("json", {}))[0] == 200
