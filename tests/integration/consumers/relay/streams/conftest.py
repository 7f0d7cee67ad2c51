"""A gateway that makes streams and registers subscriptions to them; relays are those of the directory above."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.receiver import LOOPBACK
from support.running import service

from headrace.consumers.reading import Reading
from headrace.consumers.subscriptions import Subscriptions
from headrace.durable.streams import Streams
from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import GatewaySettings

relays: Any = importlib.import_module("integration.consumers.relay.conftest")
durable: Any = importlib.import_module("integration.durable.conftest")


@pytest.fixture(scope="module")
async def gateway(log: Any) -> AsyncIterator[Any]:
    # Without the feeds of files: whoever may write to them makes their topics, and other tests make those themselves.
    chosen = GatewaySettings(bootstrap_servers=log.kafka, webhook_allow=LOOPBACK)
    catalogue, streams = load_catalogue(chosen), Streams(chosen)
    ingest = Ingest(chosen, catalogue, streams)
    reading = Reading(chosen, catalogue, streams=streams)
    async with (
        service(streams, ingest, reading, Subscriptions(chosen, reading)) as url,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
    ):
        yield durable.Gateway(url, http, streams, reading)


@pytest.fixture(scope="module")
async def api(gateway: Any) -> Any:
    """The subscriptions of the same gateway."""
    return relays.Api(gateway.url, gateway.http)
