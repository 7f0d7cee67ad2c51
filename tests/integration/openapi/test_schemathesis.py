"""schemathesis makes requests of all kinds from `/openapi.json`, good and bad, and looks at the answers.

It runs in a process of its own, against a gateway and a relay. What it does is the same each time (schemathesis.toml).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from faults.services import Service, steady_port
from integration.openapi.hooks import CHANGED, ENDED, PULLED, PUSHED
from support.feeds import write_feed
from support.waiting import until

from headrace.access.api_key import new_key_text
from headrace.broker import EmbeddedBroker

FEED = "flights.airlines"
HERE = Path(__file__).parent


class Stage:
    """A gateway and a relay as users start them, and their API with a key that may do everything."""

    def __init__(self, directory: Path, bootstrap_servers: str) -> None:
        self.key = new_key_text()
        write_feed(directory, "plain.json")
        write_feed(directory, "raw.bytes", format="bytes")
        environ = {
            **os.environ,
            "HEADRACE_BOOTSTRAP_SERVERS": bootstrap_servers,
            "HEADRACE_FEEDS": str(directory),
            "HEADRACE_ACCESS": "keys",
            "HEADRACE_ADMIN_KEY": self.key,
            "HEADRACE_WEBHOOK_ALLOW": "127.0.0.0/8",
            "HEADRACE_RETRY_SCHEDULE_S": "0.1,0.1",
            "HEADRACE_LONG_POLL_S": "0.05",
            "HEADRACE_LIVE_S": "0.1",
            "HEADRACE_LOG_FORMAT": "json",
        }
        self.gateway = self._service("gateway", directory, environ)
        self.relay = self._service("relay", directory, environ)

    def _service(self, name: str, directory: Path, environ: dict[str, str]) -> Service:
        port = steady_port()
        environ = {**environ, f"HEADRACE_{name.upper()}_PORT": str(port)}
        return Service(name, [name], port, environ, directory / f"{name}.log")

    async def start(self) -> None:
        """Both, one after the other: each makes topics."""
        for service in (self.gateway, self.relay):
            service.start()
            await service.ready()

    async def stop(self) -> None:
        """Both."""
        await self.gateway.stop()
        await self.relay.stop()

    async def call(self, method: str, path: str, json: Any = None) -> Any:
        """The body of an answer that is no problem."""
        headers = {"Authorization": f"Bearer {self.key}"}
        async with aiohttp.request(method, f"{self.gateway.url}{path}", json=json, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    with EmbeddedBroker(tmp_path / "broker", quick_start=True) as broker:
        stage = Stage(tmp_path, broker.bootstrap_servers)
        try:
            await stage.start()
            yield stage
        finally:
            await stage.stop()


async def test_schemathesis_finds_nothing(stage: Stage) -> None:
    await stage.call("POST", f"/v1/feeds/{FEED}/events", [{"carrier": f"A{n}", "name": "Air"} for n in range(50)])
    for name in (PULLED, PUSHED, CHANGED, ENDED):
        mode = {"mode": "pull"} if name == PULLED else {"url": "http://127.0.0.1:9/"}
        await stage.call("POST", "/v1/subscriptions", {"feed": FEED, "name": name, "offset": "-1", **mode})
        await until(lambda name=name: _runs(stage, name))  # type: ignore[misc]
    await stage.call("PUT", f"/v1/subscriptions/{PULLED}/snapshots/before-release")

    code, told = await _schemathesis(stage)
    assert code == 0, told


async def _runs(stage: Stage, name: str) -> bool:
    return (await stage.call("GET", f"/v1/subscriptions/{name}"))["status"] is not None


async def _schemathesis(stage: Stage) -> tuple[int | None, str]:
    """Its exit code, and what it says."""
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).parent / "schemathesis", "--no-color", "--config-file", HERE / "schemathesis.toml"),
        *("run", f"{stage.gateway.url}/openapi.json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HEADRACE_API_KEY": stage.key, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    told, _ = await process.communicate()
    return process.returncode, told.decode(errors="replace")
