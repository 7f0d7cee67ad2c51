"""How streams come and go: made, expired, deleted, made again."""

from __future__ import annotations

import asyncio
import importlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from confluent_kafka.admin import AdminClient
from support.waiting import until

helpers: Any = importlib.import_module("integration.durable.conftest")
producer, FILE_FEED = helpers.producer, helpers.FILE_FEED


async def test_of_two_that_make_a_stream_at_once_one_does_and_both_have_it(gateway: Any, other: Any) -> None:
    for n in range(5):
        name = f"s-both-{n}-{time.time_ns()}"
        answers = await asyncio.gather(
            *(through.call("PUT", name, b"x", Content_Type="text/plain") for through in (gateway, other, gateway))
        )
        assert sorted(answer.status for answer in answers) == [200, 200, 201]
        assert await gateway.read(name) == await other.read(name) == b"x"


async def test_a_stream_is_there_for_every_gateway_once_it_is_made(gateway: Any, other: Any) -> None:
    name = await gateway.made(body=b"a", Stream_TTL="3600")
    assert await other.read(name) == b"a"
    assert (await other.call("PUT", name, Content_Type="Text/Plain", Stream_TTL="3600")).status == 200
    for headers in ({}, {"Stream_TTL": "60"}, {"Stream_TTL": "3600", "Stream_Closed": "true"}):
        assert (await other.call("PUT", name, Content_Type="text/plain", **headers)).status == 409
    assert (await other.call("HEAD", name)).headers["Stream-TTL"] == "3600"


async def test_it_is_a_feed_like_any_other(gateway: Any) -> None:
    name = await gateway.made("application/json", b'[{"n": 1}, {"n": 2}]')
    async with gateway.http.get(f"{gateway.url}/v1/feeds") as answer:
        assert name in {feed["name"] for feed in (await answer.json())["feeds"]}
    async with gateway.http.get(f"{gateway.url}/v1/feeds/{name}") as answer:
        described = await answer.json()
        assert (described["partitions"], described["media_type"]) == (1, "application/json")
    url, batch = f"{gateway.url}/v1/feeds/{name}/events", {"Accept": "application/cloudevents-batch+json"}
    async with gateway.http.get(f"{url}?filter=data.n==2", headers=batch) as answer:
        events = await answer.json(content_type=None)
        assert [event["data"] for event in events] == [{"n": 2}]
        assert events[0]["type"] == name
    async with gateway.http.get(url) as answer:
        assert await answer.json() == [{"n": 1}, {"n": 2}]
    async with gateway.http.delete(url) as answer:
        assert answer.status == 204


async def test_tokens_of_a_stream_that_was_deleted_are_gone_for_the_one_made_again(gateway: Any, other: Any) -> None:
    name = await gateway.made(body=b"old")
    old = (await other.call("GET", name)).offset
    assert (await gateway.append(name, b"old", **producer(7, 0))).status == 200
    assert (await gateway.call("DELETE", name)).status == 204
    assert (await gateway.call("DELETE", name)).status == 404
    for through in (gateway, other):
        assert (await through.append(name, b"x")).status == 404
        assert (await through.call("GET", name)).status == 404
    assert (await other.call("PUT", name, b"new", Content_Type="text/plain")).status == 201
    for through in (gateway, other):
        assert await through.read(name) == b"new"
        gone = await through.call("GET", name, query=f"offset={old}")
        assert gone.status == 410
        assert orjson.loads(gone.body)["earliest_offset"]
    # Its producers are forgotten with it.
    assert (await gateway.append(name, b"er", **producer(0, 0))).status == 200
    assert await other.read(name) == b"newer"


async def test_the_topic_of_a_deleted_stream_is_deleted(gateway: Any, kafka: str) -> None:
    name = await gateway.made(body=b"x")
    topic = gateway.streams.table[name].topic
    await gateway.call("DELETE", name)
    admin = AdminClient({"bootstrap.servers": kafka})
    await until(lambda: topic not in admin.list_topics(timeout=10).topics)
    await until(lambda: not [key for key in gateway.streams.table.definitions if topic.rpartition(".")[2] in key])


async def test_who_follows_a_stream_that_is_deleted_is_let_go(gateway: Any, other: Any) -> None:
    name = await gateway.made(body=b"x")
    offset = (await other.call("GET", name)).offset
    async with other.http.get(f"{other.path(name)}?offset={offset}&live=sse") as stream:
        await stream.content.readuntil(b"event: control")
        await gateway.call("DELETE", name)
        await stream.content.read()
    assert (await other.call("GET", name, query=f"offset={offset}&live=long-poll")).status == 404


async def test_a_time_to_live_begins_anew_with_reads_and_appends_but_not_with_head(gateway: Any, other: Any) -> None:
    name = await gateway.made(Stream_TTL="2")
    began_s = time.monotonic()

    async def alive() -> bool:
        return bool((await other.call("HEAD", name)).status == 200)

    await until(lambda: time.monotonic() - began_s > 1.2)
    assert (await gateway.append(name, b"x")).status == 204
    await until(lambda: time.monotonic() - began_s > 2.4)
    assert await other.read(name) == b"x"
    await until(lambda: time.monotonic() - began_s > 3.6)
    assert await alive()
    read_s = began_s + 2.4
    await until(lambda: _none(alive), 10)
    assert time.monotonic() - read_s > 2
    for through in (gateway, other):
        assert (await through.call("GET", name)).status == 404
        assert (await through.append(name, b"x")).status == 404


async def test_a_stream_that_somebody_follows_does_not_expire(gateway: Any, other: Any) -> None:
    name = await gateway.made(Stream_TTL="3")
    async with other.http.get(f"{other.path(name)}?offset=-1&live=sse") as stream:
        await stream.content.readuntil(b"event: control")
        began_s = time.monotonic()
        await until(lambda: time.monotonic() - began_s > 5.0)
        assert (await gateway.append(name, b"x")).status == 204
        await stream.content.readuntil(b"data:x")

    async def gone() -> bool:
        return bool((await other.call("HEAD", name)).status == 404)

    await until(gone, 20)


async def _none(alive: Any) -> bool:
    return not await alive()


async def test_an_expired_stream_makes_room_for_another(gateway: Any, other: Any, kafka: str) -> None:
    expires = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat(timespec="milliseconds")
    name = await gateway.made(body=b"old", Stream_Expires_At=expires)
    topic = gateway.streams.table[name].topic
    assert (await other.call("HEAD", name)).headers["Stream-Expires-At"] == expires
    assert await other.read(name) == b"old"

    async def made() -> bool:
        answer = await other.call("PUT", name, b"new", Content_Type="application/x-other")
        return bool(answer.status == 201)

    await until(made, 10)
    assert await gateway.read(name) == b"new"
    admin = AdminClient({"bootstrap.servers": kafka})
    await until(lambda: topic not in admin.list_topics(timeout=10).topics, 40)


async def test_what_expired_is_cleared_away_though_nobody_asks_for_it(gateway: Any, other: Any, kafka: str) -> None:
    name = await gateway.made(body=b"x", Stream_TTL="0")
    topic = gateway.streams.table.definitions[name].topic
    assert (await other.call("GET", name)).status == 404
    await until(lambda: name not in gateway.streams.table.definitions)
    admin = AdminClient({"bootstrap.servers": kafka})
    await until(lambda: topic not in admin.list_topics(timeout=10).topics)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_feeds_of_files_are_read_only(gateway: Any, method: str) -> None:
    for path in (f"/v1/stream/{FILE_FEED}", f"/v1/feeds/{FILE_FEED}/events"):
        async with gateway.http.request(method, gateway.url + path) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_a_feed_of_a_file_has_the_second_name_too(gateway: Any) -> None:
    sent = await gateway.append(FILE_FEED, b'{"n": 1}', Content_Type="application/json")
    assert sent.status == 200
    events = orjson.loads(await gateway.read(FILE_FEED))
    assert events[-1]["data"] == {"n": 1}
    assert (await gateway.call("HEAD", FILE_FEED)).headers["Stream-Next-Offset"]
    refused = await gateway.append(FILE_FEED, b"{}", Content_Type="application/json", **producer(0, 0))
    assert refused.status == 400
    assert "Idempotency-Key" in orjson.loads(refused.body)["detail"]
