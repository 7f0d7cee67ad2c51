"""A relay in this process, whose access is by keys."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from support.waiting import until

from headrace.access.parts import access_parts
from headrace.broker.properties import free_port
from headrace.consumers.relay.relay import Relay
from headrace.http.service import serving
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import RelaySettings


@contextlib.asynccontextmanager
async def running_relay(kafka: str, feeds: Path) -> AsyncIterator[str]:
    """Gives its `host:port` once it has joined the group."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    settings = RelaySettings(bootstrap_servers=kafka, feeds=feeds, advertise=address, access="keys")
    relay = Relay(settings, load_catalogue(settings))
    async with serving([*access_parts(settings), relay], host="127.0.0.1", port=port, drain_s=2.0):
        await until(lambda: relay.trouble() is None)
        yield address
