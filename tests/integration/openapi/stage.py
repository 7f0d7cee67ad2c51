"""A gateway and a relay as users start them, with subscriptions and streams for what is asked of them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from faults.services import Service, steady_port
from integration.openapi.hooks import BYTES, CHANGED, ENDED, PULLED, PUSHED, STREAM
from support.feeds import write_feed
from support.waiting import until

from headrace.access.api_key import new_key_text

FEED = "flights.airlines"


class Stage:
    """Both, and their API with a key that may do everything."""

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
        """Both, one after the other, since each makes topics; then events, subscriptions that run, and streams."""
        for service in (self.gateway, self.relay):
            service.start()
            await service.ready()
        await self.call("POST", f"/v1/feeds/{FEED}/events", [{"carrier": f"A{n}", "name": "Air"} for n in range(50)])
        for name in (PULLED, PUSHED, CHANGED, ENDED):
            mode = {"mode": "pull"} if name == PULLED else {"url": "http://127.0.0.1:9/"}
            await self.call("POST", "/v1/subscriptions", {"feed": FEED, "name": name, "offset": "-1", **mode})
            await until(partial(self._runs, name))
        await self.call("PUT", f"/v1/subscriptions/{PULLED}/snapshots/before-release")
        await self._make_stream(STREAM, "application/json", b'[{"say": "hello"}, {"say": "you"}]')
        await self._make_stream(BYTES, "application/octet-stream", b"\x00\xff")

    async def _runs(self, name: str) -> bool:
        return (await self.call("GET", f"/v1/subscriptions/{name}"))["status"] is not None

    async def _make_stream(self, name: str, media_type: str, body: bytes) -> None:
        headers = {**self.credential, "Content-Type": media_type}
        async with aiohttp.request("PUT", f"{self.gateway.url}/v1/stream/{name}", data=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()

    async def stop(self) -> None:
        """Both."""
        await self.gateway.stop()
        await self.relay.stop()

    async def call(self, method: str, path: str, json: Any = None) -> Any:
        """The body of an answer that is no problem."""
        async with aiohttp.request(method, f"{self.gateway.url}{path}", json=json, headers=self.credential) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    @property
    def credential(self) -> dict[str, str]:
        """The header that lets in."""
        return {"Authorization": f"Bearer {self.key}"}
