"""Quotas of keys and addresses, at a real gateway."""

from __future__ import annotations

import asyncio
import importlib
import time
from pathlib import Path
from typing import Any

import pytest
from support.waiting import until

helpers: Any = importlib.import_module("integration.access.conftest")
FEED = helpers.FEED
EVENTS = f"/v1/feeds/{FEED}/events"
SSE = f"{EVENTS}?offset=-1&live=sse"


async def until_known(gateway: Any, key: str) -> None:
    async def known() -> bool:
        return bool((await gateway.call("GET", "/v1/feeds", key))[0] in (200, 429))

    await until(known)


async def test_a_key_that_asks_too_often_is_told_when_to_come_again(gateway: Any, keys: Any) -> None:
    slow, other = await keys.make("read:*", requests_per_s=0.2), await keys.make("read:*")
    await until_known(gateway, other)
    await gateway.call("GET", "/v1/feeds", slow)
    status, headers, body = await gateway.call("GET", "/v1/feeds", slow)
    assert status == 429
    assert 1 <= int(headers["Retry-After"]) <= 5
    assert headers["RateLimit-Policy"] == '"requests";q=1;w=5'
    assert headers["RateLimit"].startswith('"requests";r=0;t=')
    assert body["violated-policies"] == ["requests"]
    assert (await gateway.call("GET", "/v1/feeds", other))[0] == 200
    async with gateway.session.get(f"{gateway.url}/metrics") as answer:
        assert 'headrace_access_refused_total{reason="requests"}' in await answer.text()


async def test_an_answer_is_paid_for_after_it_in_events_and_bytes(gateway: Any, keys: Any) -> None:
    writer = await keys.make("publish:*")
    await until_known(gateway, writer)
    for limits, quota in (({"events_per_s": 2}, "events"), ({"bytes_per_s": 200}, "bytes")):
        await gateway.call("POST", EVENTS, writer, json=[{"n": n} for n in range(20)])
        key = await keys.make("read:*", **limits)

        async def known(key: str = key) -> bool:
            return bool((await gateway.call("HEAD", "/v1/healthz", key))[0] == 404)

        await until(known)
        assert (await gateway.call("GET", f"{EVENTS}?limit=20", key))[0] == 200
        status, _, body = await gateway.call("GET", f"{EVENTS}?limit=1", key)
        assert (status, body["violated-policies"]) == (429, [quota])


async def test_open_streams_count_as_connections_until_they_are_closed(gateway: Any, keys: Any) -> None:
    key = await keys.make("read:*", connections=1)
    await until_known(gateway, key)
    async with gateway.open(SSE, key) as stream:
        assert await stream.content.readuntil(b"event: control")
        status, _, body = await gateway.call("GET", EVENTS, key)
        assert (status, body["violated-policies"]) == (429, ["connections"])
        stream.close()

        async def free_again() -> bool:
            return bool((await gateway.call("GET", EVENTS, key))[0] == 200)

        await until(free_again)


async def test_a_stream_is_fed_at_the_rate_of_its_quota_and_loses_nothing(gateway: Any, keys: Any) -> None:
    writer = await keys.make("publish:*")
    await until_known(gateway, writer)
    key = await keys.make("read:*", events_per_s=10)

    async def known() -> bool:
        return bool((await gateway.call("HEAD", "/v1/healthz", key))[0] == 404)

    await until(known)
    async with gateway.open(f"{EVENTS}?offset=now&live=sse", key) as stream:
        assert await stream.content.readuntil(b"event: control")
        started_s = time.monotonic()
        await gateway.call("POST", EVENTS, writer, json=[{"metered": f"0-{i}"} for i in range(30)])
        received = b""
        while received.count(b'"metered"') < 30:
            received += await asyncio.wait_for(stream.content.readany(), 15)
        await gateway.call("POST", EVENTS, writer, json={"metered": "last"})
        while b'"last"' not in received:
            received += await asyncio.wait_for(stream.content.readany(), 15)
        # Of 30 events 10 were saved up: the next one comes when the other 20 are paid for.
        assert time.monotonic() - started_s > 1.9
        assert [received.count(f'"0-{i}"'.encode()) for i in range(30)] == [1] * 30


@pytest.mark.parametrize("subprotocol", [None, "headrace.v1"])
async def test_a_websocket_is_fed_at_the_rate_of_its_quota_and_loses_nothing(
    gateway: Any, keys: Any, subprotocol: str | None
) -> None:
    writer, key = await keys.make("publish:*"), await keys.make("read:*", events_per_s=10)
    await until_known(gateway, writer)
    await until_known(gateway, key)
    protocols = (subprotocol,) if subprotocol else ()
    path = EVENTS if subprotocol else f"{EVENTS}?offset=now"
    async with gateway.session.ws_connect(
        f"{gateway.url}{path}", protocols=protocols, headers={"X-API-Key": key}
    ) as socket:
        if subprotocol:
            await socket.send_json({"type": "subscribe", "id": "one", "offset": "now"})
            while (await socket.receive_json(timeout=15))["type"] != "up_to_date":
                pass
        started_s = time.monotonic()
        await gateway.call("POST", EVENTS, writer, json=[{"metered": f"{subprotocol}-{i}"} for i in range(30)])
        received = ""
        while received.count('"metered"') < 30:
            received += await socket.receive_str(timeout=15)
        await gateway.call("POST", EVENTS, writer, json={"metered": "last"})
        while '"last"' not in received:
            received += await socket.receive_str(timeout=15)
        # Of 30 events 10 were saved up: the next one comes when the other 20 are paid for.
        assert time.monotonic() - started_s > 1.9
        assert [received.count(f'"{subprotocol}-{i}"') for i in range(30)] == [1] * 30


async def test_what_is_published_on_a_websocket_is_paid_for(gateway: Any, keys: Any) -> None:
    key = await keys.make("read:*", "publish:*", events_per_s=10)
    await until_known(gateway, key)
    async with gateway.session.ws_connect(
        f"{gateway.url}{EVENTS}", protocols=("headrace.v1",), headers={"X-API-Key": key}
    ) as socket:
        started_s = time.monotonic()
        for number in range(2):
            events = [{"specversion": "1.0", "id": f"{number}-{i}", "type": "t", "source": "/s"} for i in range(25)]
            await socket.send_json({"type": "publish", "id": str(number), "events": events})
            answer = await socket.receive_json(timeout=15)
            assert (answer["type"], answer["id"]) == ("published", str(number)), answer
        # Of the first 25 events 10 were saved up: the second frame is read when the other 15 are paid for.
        assert time.monotonic() - started_s > 1.4


async def test_an_address_has_quotas_of_its_own_also_without_a_key(kafka: str, feeds: Path) -> None:
    async with helpers.running_gateway(kafka, feeds, address_requests_per_s=2) as gateway:
        statuses = [(await gateway.call("GET", "/v1/feeds"))[0] for _ in range(6)]
        assert statuses[:2] == [401, 401]
        assert 429 in statuses
        async with gateway.open("/healthz") as answer:
            assert answer.status == 200
