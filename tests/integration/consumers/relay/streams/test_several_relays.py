"""Subscriptions to streams go from relay to relay."""

from __future__ import annotations

import importlib
import time
from typing import Any

from structlog.testing import capture_logs
from support.receiver import receiver
from support.spread import spread
from support.waiting import until
from support.worker import Worker, pulled, waits_for

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
        made = [(await api.create(name, receiving.url, name=each))["id"] for each in spread(name)]

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


async def test_one_that_stands_still_is_told_of_by_its_owner_alone(api: Any, gateway: Any, log: Any) -> None:
    name = await gateway.made(JSON)
    async with relays.running_relay(log) as first:
        made = [(await pulled(api, name, name=each)).name for each in spread(name)]
        await gateway.call("DELETE", name)
        await until(lambda: _all_wait(api, made))
        async with relays.running_relay(log) as second:

            async def answered(address: str) -> list[int]:
                answers = []
                for one in made:
                    async with gateway.http.get(f"http://{address}/v1/subscriptions/{one}") as answer:
                        answers.append(answer.status)
                return answers

            async def shared() -> bool:
                both = list(zip(await answered(first), await answered(second), strict=True))
                return set(both) == {(200, 421), (421, 200)}

            await until(shared)
            await gateway.call("PUT", name, b'{"n": 0}', Content_Type=JSON)
            await until(lambda: _all_run(api, made))
            for one in made:
                leased = await Worker(api, one).lease(wait_s=10)
                assert [delivery["event"]["data"]["n"] for delivery in leased] == [0]


async def test_a_quiet_stream_stays_followed_for_its_subscriptions_and_no_longer(
    api: Any, gateway: Any, log: Any
) -> None:
    quiet, pushed = await gateway.made(JSON), await gateway.made(JSON)
    with capture_logs() as said:

        def times(event: str, feed: str) -> int:
            return sum((entry["event"], entry.get("feed")) == (event, feed) for entry in said)

        async with relays.running_relay(log, ring_age_s=0.9), receiver() as receiving:
            # By the gateway, too. Whoever asks the relay wakes it: at rest nothing of it looks at the stream.
            _, resting = await api.call("POST", feed=quiet, mode="pull", offset="-1")
            await until(lambda: times("feed_followed", quiet) == 2)
            made = (await api.create(pushed, receiving.url))["id"]
            await until(lambda: api.owner(made))
            assert (await api.call("DELETE", f"/{made}"))[0] == 204
            await until(lambda: times("feed_left", pushed))
            # As long as the reader core may take until it lets go of what nobody has asked for.
            began_s = time.monotonic()
            await until(lambda: time.monotonic() - began_s > 4)
            assert not times("feed_left", quiet)
            await gateway.append(quiet, b'{"n": 0}', Content_Type=JSON)
            assert len(await Worker(api, resting["id"]).lease(wait_s=10)) == 1
            assert (await api.call("DELETE", f"/{resting['id']}"))[0] == 204
            await until(lambda: times("feed_left", quiet))


async def _all_wait(api: Any, names: list[str]) -> bool:
    return all([await waits_for(api, name) for name in names])


async def _all_run(api: Any, names: list[str]) -> bool:
    return all([await api.owner(name) for name in names])
