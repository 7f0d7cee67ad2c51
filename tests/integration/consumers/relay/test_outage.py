"""Kafka goes away while events are delivered, and comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.receiver import after, receiver, status
from support.waiting import until

from headrace.broker import EmbeddedBroker

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api


@pytest.fixture
def helpers(request: pytest.FixtureRequest) -> Any:
    """The plugin of this directory, for what is no fixture."""
    return next(
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(Path(__file__).with_name("conftest.py"))
    )


async def lag(api: Api, name: str) -> int | None:
    found: int | None = (await api.status(name)).get("lag")
    return found


@pytest.mark.faults
async def test_nothing_is_lost_while_kafka_is_away(tmp_path: Path, helpers: Any) -> None:
    broker = EmbeddedBroker(tmp_path / "kafka")
    await asyncio.to_thread(broker.start)
    try:
        log = helpers.Log(broker.bootstrap_servers, tmp_path / "defined")
        feed = log.feed(partitions=2)
        async with helpers.running_gateway(log) as api, helpers.running_relay(log), receiver() as receiving:
            seen: Counter[str] = Counter()

            def choose(delivery: Any) -> Any:
                # Every fifth event fails at first, so that some are parked when Kafka goes.
                seen[delivery.id] += 1
                return status(500) if int(delivery.id[4:]) % 5 == 0 and seen[delivery.id] < 3 else None

            receiving.choose = choose
            receiving.answer = after(0.05, status(204))
            plain = await api.create(feed, receiving.url)
            keyed = await api.create(feed, receiving.url, ordering="key")
            await until(lambda: api.owner(plain["id"]))
            await until(lambda: api.owner(keyed["id"]))
            ids = [event_id for n in range(300) for event_id in log.send(feed, key=f"k{n % 20}")]
            await until(lambda: len(receiving.ids) > 100)
            await asyncio.to_thread(broker.kill)
            # What was read goes on; then it stands still.
            before = len(receiving.ids)
            await until(lambda: len(receiving.ids) > before)
            await asyncio.to_thread(broker.start)
            ids += log.send(feed, 50, key="later")
            await until(lambda: set(ids) <= set(receiving.ids), 90)
            await until(lambda: _none_left(api, plain["id"]), 60)
            await until(lambda: _none_left(api, keyed["id"]), 60)
            assert set(receiving.ids) == set(ids)
            assert all(count >= 2 for count in Counter(receiving.ids).values())
    finally:
        await asyncio.to_thread(broker.stop)


async def _none_left(api: Api, name: str) -> bool:
    return await lag(api, name) == 0
