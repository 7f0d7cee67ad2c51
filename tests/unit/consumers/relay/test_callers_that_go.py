"""Clients that go away in the middle of a call: what they asked for is done whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.waiting import until
from unit.consumers.relay import test_puller
from unit.consumers.relay.positions import Positions
from unit.consumers.relay.test_puller import subscription
from unit.consumers.relay.test_runner import feed_in_memory

from headrace.consumers.relay.calls import Calls
from headrace.consumers.relay.holdings import Holdings
from headrace.consumers.relay.owned import Owned
from headrace.consumers.relay.pull_calls import PullCalls
from headrace.consumers.relay.puller import Puller


@pytest.fixture
async def positions() -> Positions:
    return Positions()


@pytest.fixture
async def puller(positions: Positions) -> AsyncIterator[Puller]:
    """A pull subscription to two events of one key, in their order."""
    puller = test_puller.puller(positions, feed_in_memory([b"a", b"a"]), subscription(ordering="key"))
    yield puller
    await puller.stop()


async def _goes_away_while_kafka_is_asked(puller: Puller, positions: Positions, call: str, body: Any) -> None:
    """A call of a client that is gone by the time Kafka writes what the call has to note."""

    async def certain(partition: int) -> bool:
        return True

    owner = SimpleNamespace(running=lambda name: puller, held=Holdings())
    owned = Owned(cast("Any", owner), cast("Any", SimpleNamespace(certain=certain)))
    app = web.Application()
    app.add_routes([*PullCalls(owned).routes(), *Calls(owned, "here").routes()])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        assert server.runner is not None
        serving = server.runner.server
        assert serving is not None
        positions.answers.clear()
        asking = asyncio.ensure_future(session.post(server.make_url(f"/v1/subscriptions/s/{call}"), json=body))
        try:
            await until(lambda: positions.waiting)
            asking.cancel()
            await until(lambda: all(handler.transport is None for handler in serving.connections))
        finally:
            positions.answers.set()
        await until(lambda: not positions.waiting)


async def test_an_event_given_back_for_later_comes_again_though_its_worker_has_gone(
    puller: Puller, positions: Positions
) -> None:
    (leased,) = await puller.lease(1, 0, 300)
    body = {"ack_ids": [leased.ack_id], "delay_s": 0.1}
    await _goes_away_while_kafka_is_asked(puller, positions, "nack", body)
    await until(lambda: puller.parked == 1)
    (again,) = await puller.lease(1, 20, 300)
    assert (again.number, again.event) == (2, leased.event)


async def test_an_event_is_delivered_once_more_though_who_asked_for_it_has_gone(
    puller: Puller, positions: Positions
) -> None:
    while leased := await puller.lease(2, 0, 300):
        assert await puller.ack([one.ack_id for one in leased]) == {}
    await _goes_away_while_kafka_is_asked(puller, positions, "redeliver", {"partition": 0, "offset": 0})
    (again,) = await puller.lease(1, 20, 300)
    assert b'"id":"e-0"' in again.event
