"""What is not as it should be is told so, with what to do."""

from __future__ import annotations

import gzip
import importlib
from typing import Any

import orjson
import pytest

helpers: Any = importlib.import_module("integration.durable.conftest")
JSON = {"Content_Type": "application/json"}
TEXT = {"Content_Type": "text/plain"}
PRODUCER = {"Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": "0"}


def problem(answer: Any) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return str(orjson.loads(answer.body)["detail"])


@pytest.mark.parametrize(
    "name", ["a%2Fb", ".hidden", "headrace.keys", "orders.dead", "caf%C3%A9", "x" * 201, "a%20b", "a%00b"]
)
async def test_names_that_cannot_be_are_refused(gateway: Any, name: str) -> None:
    assert "cannot name a stream" in problem(await gateway.call("PUT", name, **TEXT))


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Stream_TTL": "060"}, "Stream-TTL"),
        ({"Stream_TTL": "99999999999"}, "Stream-TTL"),
        ({"Stream_TTL": "1", "Stream_Expires_At": "2100-01-01T00:00:00Z"}, "not both"),
        ({"Stream_Expires_At": "2100-01-01"}, "RFC 3339"),
        ({"Stream_Expires_At": "2100-13-01T00:00:00Z"}, "RFC 3339"),
        ({"Content_Type": "text"}, "no media type"),
        ({"Content_Type": "text/event-stream"}, "another media type"),
    ],
)
async def test_puts_that_cannot_be_are_refused(gateway: Any, headers: dict[str, str], told: str) -> None:
    answer = await gateway.call("PUT", "s-bad", **{**TEXT, **headers})
    assert answer.status == 400
    assert told in problem(answer)


@pytest.mark.parametrize("query", ["partitions=0", "partitions=101", "partitions=x"])
async def test_partitions_are_few(gateway: Any, query: str) -> None:
    assert "partitions" in problem(await gateway.call("PUT", "s-bad", query=query, **TEXT))


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (b"", TEXT, 400, "empty"),
        (b"x", {}, 400, "Content-Type is missing"),
        (b"x", {"Content_Type": "nothing"}, 400, "no media type"),
        (b"x", {"Content_Type": "application/xml"}, 409, "text/plain"),
        (b"[]", JSON, 400, "empty"),
        (b" [ ] ", JSON, 400, "empty"),
        (b"{]", JSON, 400, "not JSON"),
        (b"[1, NaN]", JSON, 400, "not JSON"),
        (b"[" * 5000 + b"]" * 5000, JSON, 400, ""),
        (b"[" + b"[" * 950 + b"]" * 950 + b"]", JSON, 400, "nested too deeply"),
        (b"x", {**TEXT, "Stream_Seq": ""}, 400, "Stream-Seq"),
        (b"x", {**TEXT, "Stream_Seq": "\u00e9"}, 400, "Stream-Seq"),
        (b"x", {**TEXT, **PRODUCER, "Producer_Id": ""}, 400, "Producer-Id"),
        (b"x", {**TEXT, **PRODUCER, "Producer_Seq": "-1"}, 400, "Producer-Seq"),
        (b"x", {**TEXT, **PRODUCER, "Producer_Epoch": "9007199254740992"}, 400, "Producer-Epoch"),
        (b"x", {**TEXT, "Producer_Id": "p"}, 400, "together"),
        (b"x", {**TEXT, "Idempotency_Key": "k"}, 400, "Producer-Id"),
        (b"x" * 100_001, TEXT, 413, "in parts"),
        (b"[" + b"1," * 10_000 + b"1]", JSON, 413, "at a time"),
        (b"x", {**TEXT, "Content_Encoding": "br"}, 415, "gzip"),
    ],
)
async def test_appends_that_cannot_be_are_refused(
    gateway: Any, body: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    name = await gateway.made()
    answer = await gateway.call("POST", name, body, **headers)
    assert answer.status == status, answer.body
    assert told in problem(answer)
    assert await gateway.read(name) == b""


async def test_a_body_may_be_compressed_and_as_large_as_a_message_may_be(gateway: Any) -> None:
    name = await gateway.made()
    body = b"x" * 100_000
    assert (await gateway.append(name, gzip.compress(body), Content_Encoding="gzip")).status == 204
    assert await gateway.read(name) == body


async def test_what_is_not_there_is_not_found(gateway: Any) -> None:
    for method, body in (("GET", None), ("POST", b"x"), ("DELETE", None)):
        assert "s-nothing" in problem(await gateway.call(method, "s-nothing", body, **TEXT))
    assert (await gateway.call("HEAD", "s-nothing")).status == 404
