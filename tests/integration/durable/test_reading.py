"""Reading streams in every mode, and their end."""

from __future__ import annotations

import asyncio
import base64
import importlib
from typing import Any

import orjson
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from support.waiting import until

helpers: Any = importlib.import_module("integration.durable.conftest")

Event = tuple[str, str]
BINARY = bytes(range(256))


async def events(answer: Any, told: str = "streamClosed") -> list[Event]:
    """Server-sent events, their name and their data, up to a control event that says so."""
    found: list[Event] = []
    async with asyncio.timeout(30):
        while True:
            lines = (await answer.content.readuntil(b"\n\n")).decode().split("\n")
            data = [line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:")]
            name = next((line.removeprefix("event: ") for line in lines if line.startswith("event:")), "")
            if name:
                found.append((name, "\n".join(data)))
            if name == "control" and told in found[-1][1]:
                return found


def data_of(found: list[Event]) -> str:
    return "".join(data for name, data in found if name == "data")


async def test_bytes_come_as_they_were_posted(gateway: Any) -> None:
    name = await gateway.made("image/png", BINARY)
    assert (await gateway.append(name, BINARY[::-1], Content_Type="image/png")).status == 204
    page = await gateway.call("GET", name)
    assert (page.headers["Content-Type"], page.body) == ("image/png", BINARY + BINARY[::-1])
    assert page.headers["Stream-Up-To-Date"] == "true"
    batch = await gateway.call("GET", name, Accept="application/cloudevents-batch+json")
    assert base64.b64decode(orjson.loads(batch.body)[1]["data_base64"]) == BINARY[::-1]
    assert (await gateway.call("GET", name, Accept="application/json")).status == 406


async def test_a_page_is_as_large_as_it_may_be_and_leads_on(gateway: Any) -> None:
    name = await gateway.made("application/json", orjson.dumps([{"n": n} for n in range(25)]))
    assert orjson.loads((await gateway.call("GET", name, query="limit=10")).body) == [{"n": n} for n in range(10)]
    few = await gateway.call("GET", name, query="max_bytes=20")
    assert orjson.loads(few.body) == [{"n": 0}, {"n": 1}]
    lines = await gateway.call("GET", name, query=f"offset={few.offset}", Accept="application/x-ndjson")
    assert [orjson.loads(line) for line in lines.body.splitlines()] == [{"n": n} for n in range(2, 25)]


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/octet-stream"])
async def test_sse_gives_all_and_the_end(gateway: Any, other: Any, media_type: str) -> None:
    first, second = (b"[1]", b"2") if media_type == "application/json" else (b" one\n\n two", b"three\r")
    name = await gateway.made(media_type, first)
    async with other.http.get(f"{other.path(name)}?offset=-1&live=sse") as stream:
        assert stream.headers.get("Stream-SSE-Data-Encoding") == (None if "octet" not in media_type else "base64")
        found = await events(stream, "upToDate")
        await gateway.append(name, second, Content_Type=media_type, Stream_Closed="true")
        found += await events(stream)
        assert await stream.content.read() == b""
    assert orjson.loads(found[-1][1]).keys() == {"streamNextOffset", "upToDate", "streamClosed"}
    data = [data for event, data in found if event == "data"]
    assert (
        data
        == {
            "application/json": ["[1]", "[2]"],
            "text/plain": [" one\n\n two", "three\n"],
            "application/octet-stream": [base64.b64encode(first).decode(), base64.b64encode(second).decode()],
        }[media_type]
    )


async def test_a_stream_that_is_closed_while_others_wait_ends_for_all_of_them(gateway: Any, other: Any) -> None:
    name = await gateway.made(body=b"a")
    offset = (await gateway.call("GET", name)).offset
    polls = [
        asyncio.ensure_future(through.call("GET", name, query=f"offset={offset}&live=long-poll"))
        for through in (gateway, other)
    ]
    async with other.http.get(f"{other.path(name)}?offset=now&live=sse") as stream:
        await events(stream, "upToDate")
        await gateway.append(name, b"", Stream_Closed="true")
        assert await events(stream)
        for poll in polls:
            answer = await poll
            assert (answer.status, answer.headers["Stream-Closed"]) == (204, "true")
    closed = await other.call("GET", name, query=f"offset={offset}&live=long-poll")
    assert (closed.status, closed.headers["Stream-Up-To-Date"]) == (204, "true")


async def test_only_the_page_at_the_end_says_that_it_is_the_end(gateway: Any) -> None:
    name = await gateway.made("application/json", b"[1, 2, 3]")
    await gateway.append(name, b"", Stream_Closed="true")
    first = await gateway.call("GET", name, query="limit=2")
    assert "Stream-Closed" not in first.headers
    last = await gateway.call("GET", name, query=f"offset={first.offset}")
    assert (last.body, last.headers["Stream-Closed"]) == (b"[3]", "true")


async def test_a_page_is_not_sent_again_until_something_changes(gateway: Any) -> None:
    name = await gateway.made(body=b"a")
    etag = (await gateway.call("GET", name)).headers["ETag"]
    assert (await gateway.call("GET", name, If_None_Match=etag)).status == 304
    await gateway.append(name, b"", Stream_Closed="true")
    closed = await gateway.call("GET", name, If_None_Match=etag)
    assert (closed.status, closed.headers["Stream-Closed"]) == (200, "true")


async def test_a_cursor_never_goes_back_on_a_connection_that_lasts(gateway: Any) -> None:
    name = await gateway.made(body=b"a")
    async with gateway.http.get(f"{gateway.path(name)}?offset=-1&live=sse&cursor=99999999999") as stream:
        found = await events(stream, "upToDate")
        await gateway.append(name, b"b")
        found += await events(stream, "upToDate")
    cursors = [int(orjson.loads(data)["streamCursor"]) for event, data in found if event == "control"]
    assert set(cursors) == {100_000_000_000}


async def test_a_writer_reads_what_it_wrote_through_any_gateway(gateway: Any, other: Any) -> None:
    name = await gateway.made()
    for n in range(10):
        writer, reader = (gateway, other) if n % 2 else (other, gateway)
        sent = await writer.append(name, b"%d" % n)
        page = await reader.call("GET", name)
        assert page.body == b"0123456789"[: n + 1]
        assert (page.offset, page.headers["Stream-Up-To-Date"]) == (sent.offset, "true")
        assert (await writer.call("HEAD", name)).offset == sent.offset


async def test_a_stream_that_nobody_reads_is_followed_no_more_until_somebody_does(start_gateway: Any) -> None:
    async with start_gateway(ring_age_s=0.1) as gateway:
        name = await gateway.made(body=b"a")
        page = await gateway.call("GET", name)
        await until(lambda: gateway.reading.tail.opened(name) is None)
        again = await gateway.call("GET", name)
        assert (again.body, again.offset) == (page.body, page.offset)
        async with gateway.http.get(f"{gateway.path(name)}?offset=now&live=sse") as stream:
            await events(stream, "upToDate")
            opened = gateway.reading.tail.opened(name)
            # Another one comes to be idle, while this one is followed.
            other = await gateway.made(body=b"b")
            await gateway.read(other)
            await until(lambda: gateway.reading.tail.opened(other) is None)
            assert gateway.reading.tail.opened(name) is opened
            await gateway.append(name, b"c")
            assert data_of(await events(stream, "upToDate")) == "c"


async def test_offsets_of_what_is_no_longer_kept_are_gone(gateway: Any, other: Any, kafka: str) -> None:
    name = await gateway.made("application/json", b"[1, 2, 3]")
    first = await gateway.call("GET", name, query="limit=1")
    admin = AdminClient({"bootstrap.servers": kafka})
    partition = TopicPartition(gateway.streams.table[name].topic, 0, 2)
    admin.delete_records([partition])[partition].result()
    # Not the same gateway: its consumer has the messages in its buffer still.
    gone = await other.call("GET", name, query=f"offset={first.offset}")
    assert gone.status == 410
    earliest = orjson.loads(gone.body)["earliest_offset"]
    assert (await other.call("GET", name, query=f"offset={earliest}")).body == b"[3]"


async def test_a_websocket_gets_the_messages_as_cloud_events(gateway: Any) -> None:
    name = await gateway.made("application/json", b"[1, 2]")
    async with gateway.http.ws_connect(f"{gateway.path(name)}?offset=-1".replace("http", "ws")) as socket:
        assert [(await socket.receive_json())["data"] for _ in range(2)] == [1, 2]
        await gateway.append(name, b"3", Content_Type="application/json", Stream_Closed="true")
        assert (await socket.receive_json())["data"] == 3
        await socket.receive()
        assert socket.close_code == 1000
