from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from support.receiver import LOOPBACK

from headrace.client import Client
from headrace.consumers.reading import Reading
from headrace.consumers.relay.relay import Relay
from headrace.consumers.subscriptions import Subscriptions
from headrace.http.service import Part, serving
from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import GatewaySettings, RelaySettings

FeedFactory = Callable[..., str]
Gateway = Callable[..., contextlib.AbstractAsyncContextManager[str]]
RelayFactory = Callable[[], contextlib.AbstractAsyncContextManager[None]]

TAKEN_UP_S = 60.0
"""The first relay of a session waits for its group to be made."""


async def taken_up(client: Client, subscription_id: str) -> None:
    """Wait until a relay runs a subscription."""
    async with asyncio.timeout(TAKEN_UP_S):
        while (await client.subscriptions.get(subscription_id)).status is None:  # noqa: ASYNC110 - it is of another process
            await asyncio.sleep(0.05)


@pytest.fixture
def feeds(tmp_path: Path) -> Path:
    """The directory of the test's own feeds."""
    (tmp_path / "feeds").mkdir()
    return tmp_path


@pytest.fixture
def new_feed(feeds: Path) -> FeedFactory:
    """Defines a feed with a name of its own, for gateways that start later; more lines of its TOML may be given."""

    def define(*lines: str) -> str:
        name = f"test-{uuid.uuid4().hex[:10]}"
        (feeds / "feeds" / f"{name}.toml").write_text("\n".join(['description = "Of a test."', *lines]))
        return name

    return define


@pytest.fixture
def gateway(kafka: str, feeds: Path) -> Gateway:
    """Runs gateways; gives the URL of each. With `port` one can take the place of another."""

    @contextlib.asynccontextmanager
    async def run(port: int = 0, **settings: Any) -> AsyncIterator[str]:
        wanted = GatewaySettings(bootstrap_servers=kafka, feeds=feeds, **{"webhook_allow": LOOPBACK, **settings})
        catalogue = load_catalogue(wanted)
        reading = Reading(wanted, catalogue)
        parts: list[Part] = [Ingest(wanted, catalogue), reading, Subscriptions(wanted, reading)]
        async with serving(parts, host="127.0.0.1", port=port, drain_s=2.0) as bound:
            yield f"http://127.0.0.1:{bound}"

    return run


@pytest.fixture
def relay(kafka: str, feeds: Path) -> RelayFactory:
    """Runs relays. One owns its partitions some seconds after it has started."""

    @contextlib.asynccontextmanager
    async def run() -> AsyncIterator[None]:
        # What it announces must be known before it listens.
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = RelaySettings(
            bootstrap_servers=kafka,
            feeds=feeds,
            advertise=f"127.0.0.1:{port}",
            retry_schedule_s=(0.2, 0.4, 0.8, *[1.0] * 40),
            first_open_s=0.2,
            max_open_s=1.0,
            webhook_allow=LOOPBACK,
        )
        async with serving([Relay(settings, load_catalogue(settings))], host="127.0.0.1", port=port, drain_s=2.0):
            yield

    return run
