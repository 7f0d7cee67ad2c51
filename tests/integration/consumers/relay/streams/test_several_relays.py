"""Subscriptions to streams go from relay to relay."""

from __future__ import annotations

import importlib
from typing import Any

from support.receiver import receiver
from support.waiting import until
from support.worker import pulled, waits_for

relays: Any = importlib.import_module("integration.consumers.relay.conftest")
JSON = "application/json"


async def test_a_relay_that_starts_while_the_stream_is_gone_takes_it_up_once_it_is_made(
    api: Any, gateway: Any, log: Any
) -> None:
    name = await gateway.made(JSON, b'{"n": 0}')
    async with relays.running_relay(log):
        worker = await pulled(api, name)
        assert await worker.ack(*await worker.lease()) == {}
    await gateway.call("DELETE", name)
    async with relays.running_relay(log):
        await until(lambda: waits_for(api, worker.name))
        await gateway.call("PUT", name, b'{"n": 1}', Content_Type=JSON)
        await until(lambda: api.owner(worker.name))
        assert [delivery["event"]["data"]["n"] for delivery in await worker.lease(wait_s=10)] == [1]


async def test_two_relays_share_the_subscriptions_to_a_stream_and_hand_them_over(
    api: Any, gateway: Any, log: Any
) -> None:
    name = await gateway.made(JSON)
    async with receiver() as receiving, relays.running_relay(log) as first:
        made = [(await api.create(name, receiving.url, name=f"{name}-{n}"))["id"] for n in range(8)]

        async def owners() -> set[str]:
            return {await api.owner(one) for one in made}

        async def delivered(count: int) -> bool:
            await gateway.append(name, b'{"n": %d}' % count, Content_Type=JSON)
            await until(lambda: len(receiving.deliveries) >= count * len(made))
            return len(receiving.deliveries) == count * len(made)

        await until(lambda: _equal(owners, {first}))
        assert await delivered(1)
        async with relays.running_relay(log) as second:
            await until(lambda: _equal(owners, {first, second}))
            assert await delivered(2)
        await until(lambda: _equal(owners, {first}))
        assert await delivered(3)


async def _equal(found: Any, wanted: set[str]) -> bool:
    return bool(await found() == wanted)
