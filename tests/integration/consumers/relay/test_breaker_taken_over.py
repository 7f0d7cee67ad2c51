"""An open breaker goes from one relay to the next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.receiver import receiver, status
from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log


@pytest.fixture
def helpers(request: pytest.FixtureRequest) -> Any:
    """The plugin of this directory, for what is no fixture."""
    return next(
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(Path(__file__).with_name("conftest.py"))
    )


async def test_an_open_breaker_is_handed_over_open(api: Api, log: Log, helpers: Any) -> None:
    feed = log.feed()
    late = {"first_open_s": 300.0, "max_open_s": 600.0}
    async with receiver() as receiving:
        receiving.answer = status(500)
        async with helpers.running_relay(log, **late) as first:
            created = await api.create(feed, receiving.url, failures_to_open=3)
            name = created["id"]
            await until(lambda: api.has(name, lag=0))
            log.send(feed, 20)
            await until(lambda: _opened(api, name))
            before = await api.status(name)
        tried = len(receiving.deliveries)
        async with helpers.running_relay(log, **late) as second:
            await until(lambda: _owned_by(api, name, second))
            assert first != second
            found = await api.status(name)
            assert found["breaker"] == before["breaker"]
            assert (found["lag"], found["parked"]) == (before["lag"], before["parked"])
            # Another of the same relay is delivered meanwhile, so it had its chance.
            async with receiver() as other:
                await api.create(feed, other.url, offset="-1")
                await until(lambda: len(other.ids) >= 20)
            assert len(receiving.deliveries) == tried
            await api.call("DELETE", f"/{name}")


async def _opened(api: Api, name: str) -> bool:
    found = await api.status(name)
    return bool(found["breaker"]["state"] == "open" and found["in_flight"] == 0)


async def _owned_by(api: Api, name: str, address: str) -> bool:
    return await api.owner(name) == address
