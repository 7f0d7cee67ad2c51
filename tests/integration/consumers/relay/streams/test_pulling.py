"""Pull subscriptions to streams: leases, positions, and from pull to webhook and back."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from support.receiver import receiver
from support.waiting import until
from support.worker import events_of, ids, pulled

pytestmark = pytest.mark.usefixtures("relay")
JSON = "application/json"


async def test_messages_are_leased_and_acknowledged(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON, orjson.dumps([{"n": n} for n in range(5)]))
    worker = await pulled(api, name, ordering="key")
    leased = await worker.lease(3)
    assert [delivery["event"]["data"]["n"] for delivery in leased] == [0, 1, 2]
    assert await worker.ack(*leased[:2]) == {}
    assert await worker.nack(leased[2]) == {}
    again = await worker.lease(10)
    assert sorted(delivery["event"]["data"]["n"] for delivery in again) == [2, 3, 4]
    assert {d["delivery"] for d in again if d["event"]["id"] == leased[2]["event"]["id"]} == {2}
    assert await worker.ack(*again) == {}
    assert await api.has(worker.name, lag=0, in_flight=0, delivered=5)
    await gateway.append(name, b'{"n": 5}', Content_Type=JSON)
    assert [delivery["event"]["data"]["n"] for delivery in await worker.lease(wait_s=10)] == [5]


async def test_all_below_an_offset_of_the_stream_is_acknowledged(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON, b'[{"n": 0}, {"n": 1}]')
    offset = (await gateway.call("GET", name)).offset
    worker = await pulled(api, name)
    await gateway.append(name, b'{"n": 2}', Content_Type=JSON)
    events, end = await events_of(api, worker.name)
    assert len(events) == 3
    await worker.call("ack", offset=offset)
    assert (await events_of(api, worker.name))[0] == events[2:]
    assert ids(await worker.lease()) == events[2:]
    await worker.call("ack", offset=end)
    assert await api.has(worker.name, lag=0)
    assert (await api.status(worker.name))["offset"] == (await gateway.call("HEAD", name)).offset


async def test_a_page_that_ends_a_closed_stream_is_answered_at_once(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON, b'{"n": 0}', Stream_Closed="true")
    worker = await pulled(api, name)
    assert len((await events_of(api, worker.name, wait=20))[0]) == 1
    await worker.call("ack", offset=(await gateway.call("HEAD", name)).offset)
    began_s = time.monotonic()
    assert (await events_of(api, worker.name, wait=20))[0] == []
    assert time.monotonic() - began_s < 5


async def test_it_is_moved_and_its_positions_have_names(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON, b'[{"n": 0}, {"n": 1}]')
    worker = await pulled(api, name)
    async with gateway.http.put(f"{gateway.url}/v1/subscriptions/{worker.name}/snapshots/start") as answer:
        assert answer.status == 201
    events, end = await events_of(api, worker.name)
    await worker.call("ack", offset=end)
    moved = await api.seek(worker.name, snapshot="start")
    assert moved["status"]["epoch"] > 0
    assert ids(await worker.lease()) == events
    await api.seek(worker.name, offset="now")
    assert await worker.lease() == []


async def test_it_becomes_a_webhook_and_goes_on_where_it_was(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON, b'[{"n": 0}, {"n": 1}, {"n": 2}]')
    worker = await pulled(api, name)
    assert await worker.ack(*await worker.lease(2)) == {}
    async with receiver() as receiving:
        code, changed, _ = await api.patch(worker.name, {"mode": "webhook", "url": receiving.url})
        assert (code, bool(changed["secret"])) == (200, True)
        await until(lambda: api.has(worker.name, lag=0, parked=0))
        assert [delivery.data["n"] for delivery in receiving.deliveries] == [2]
        assert (await api.patch(worker.name, {"mode": "pull"}))[0] == 200
        await gateway.append(name, b'{"n": 3}', Content_Type=JSON)
        await until(lambda: api.has(worker.name, breaker=None))
        assert [delivery["event"]["data"]["n"] for delivery in await worker.lease(wait_s=10)] == [3]
