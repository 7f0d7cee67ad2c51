"""Streams come and go; their subscriptions stay, stand still, and begin with the first message of the next."""

from __future__ import annotations

import time
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.receiver import receiver, status
from support.told import records
from support.waiting import until
from support.worker import pulled, waits_for

from headrace.consumers.relay.definition import POSITIONS

pytestmark = pytest.mark.usefixtures("relay")
JSON = "application/json"


async def test_deleted_its_subscription_stands_still_and_says_so_once(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON, b'{"n": "old"}')
    with capture_logs() as said:
        async with receiver() as receiving:
            receiving.answer = status(500)
            made = (await api.create(name, receiving.url, offset="-1"))["id"]
            await until(lambda: api.has(made, parked=1))
            await gateway.call("DELETE", name)
            await until(lambda: waits_for(api, made))
            assert name in await waits_for(api, made)
            code, body = await api.call("POST", f"/{made}/seek", offset="now")
            assert code == 503
            assert name in body["detail"]
            # So long a retry every 2 s would have been heard of.
            began_s = time.monotonic()
            await until(lambda: time.monotonic() - began_s > 5)
            receiving.answer = status(204)
            receiving.deliveries.clear()
            await gateway.call("PUT", name, b'[{"n": 0}, {"n": 1}]', Content_Type=JSON)
            await until(lambda: api.has(made, delivered=2, lag=0, parked=0))
            assert sorted(delivery.data["n"] for delivery in receiving.deliveries) == [0, 1]
            assert (await api.status(made))["epoch"] > 0
            assert "waits_for" not in await api.show(made)
    told = [entry for entry in said if entry.get("subscription") == made and entry["log_level"] != "info"]
    assert [entry["event"] for entry in told] == ["subscription_stands_still", "subscription_starts_over"]


async def test_deleted_and_made_again_at_once_it_is_read_from_its_first_message(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON, b'[{"n": 0}, {"n": 1}]')
    worker = await pulled(api, name)
    (first,) = await worker.lease(1)
    await gateway.call("DELETE", name)
    await gateway.call("PUT", name, b'[{"n": 2}, {"n": 3}]', Content_Type=JSON)
    await until(lambda: _moved(api, worker.name))
    assert [delivery["event"]["data"]["n"] for delivery in await worker.lease(wait_s=10)] == [2, 3]
    assert list((await worker.ack(first)).values()) == ["moved"]


async def _moved(api: Any, name: str) -> bool:
    return bool((await api.status(name)).get("epoch"))


async def test_a_subscription_alone_does_not_keep_a_stream_alive(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON, b'{"n": 0}', Stream_TTL="2")
    worker = await pulled(api, name)
    async with receiver() as receiving:
        made = (await api.create(name, receiving.url, offset="-1"))["id"]
        await until(lambda: api.has(made, delivered=1))
        read_s = time.monotonic()
        await until(lambda: waits_for(api, made), 15)
        await until(lambda: waits_for(api, worker.name))
        assert time.monotonic() - read_s < 12
    assert (await gateway.call("HEAD", name)).status == 404


async def test_deleted_while_it_stands_still_nothing_of_a_subscription_is_left(
    api: Any, gateway: Any, log: Any
) -> None:
    name = await gateway.made(JSON, b'[{"n": 0}, {"n": 1}]')
    worker = await pulled(api, name, name=f"{name}-sub")
    assert await worker.ack(*await worker.lease()) == {}
    await gateway.call("DELETE", name)
    await until(lambda: waits_for(api, worker.name))
    assert await _kept(log, worker.name)
    assert (await api.call("DELETE", f"/{worker.name}"))[0] == 204
    await until(lambda: _nothing_kept(log, worker.name))
    assert (await api.call("GET", f"/{worker.name}"))[0] == 404
    assert (await api.call("POST", feed=name, mode="pull"))[0] == 404
    await gateway.call("PUT", name, b'[{"n": 2}]', Content_Type=JSON)
    again = await pulled(api, name, name=worker.name)
    assert [delivery["event"]["data"]["n"] for delivery in await again.lease()] == [2]
    assert (await api.status(again.name))["epoch"] == 0


async def _kept(log: Any, name: str) -> list[bytes]:
    latest = {m.key() or b"": m.value() for m in await records(log.kafka, POSITIONS.name)}
    return [key for key, value in latest.items() if key.split(b"\0")[0] == name.encode() and value is not None]


async def _nothing_kept(log: Any, name: str) -> bool:
    return not await _kept(log, name)
