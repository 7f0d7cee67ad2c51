"""Who owns which subscription, and asking them: any gateway passes calls on to the owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from confluent_kafka.admin import AdminClient

from headrace.consumers.relay.definition import OWNERS, position_partition
from headrace.http.problems import unavailable
from headrace.kafka.table import Table

AGAIN_S = 0.2
CALL_S = 30.0
PASSED_ON = ("Content-Type", "Cache-Control", "Retry-After", "Stream-Next-Offset")
"""Of an owner's answer, besides status and body."""


class Owners:
    """The relays that announced themselves as owners, by partition of `headrace.positions`.

    `headers` makes those of every call: what a relay asks for where access is not open.
    """

    def __init__(
        self, kafka: Mapping[str, Any], admin: AdminClient, headers: Callable[[], Mapping[str, str]] | None = None
    ) -> None:
        self._headers = headers
        self._addresses: Table[str] = Table(
            kafka, admin, OWNERS.name, lambda value: str(orjson.loads(value)["address"])
        )
        # Without a limit: workers that wait for events must not keep other calls waiting.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_S), connector=aiohttp.TCPConnector(limit=0)
        )

    async def load(self) -> None:
        """Read who they are; raises `UnknownTopic` or `KafkaUnavailable`."""
        await self._addresses.load()

    async def ask(self, subscription_id: str, request: web.Request, wait_s: float) -> web.Response:
        """Pass a call on to the owner; raises `Problem` 503 where none answered within `wait_s`."""
        return await self.call(subscription_id, request.method, request.path_qs, await request.read(), wait_s)

    async def call(self, subscription_id: str, method: str, path: str, body: bytes, wait_s: float) -> web.Response:
        """Call the owner; while there is none, or another than announced, look again."""
        partition = str(position_partition(subscription_id))
        trouble = "no relay runs"
        deadline_s = asyncio.get_running_loop().time() + wait_s
        while asyncio.get_running_loop().time() < deadline_s:
            if (address := self._addresses.get(partition)) is not None:
                try:
                    return await self._ask(partition, address, method, path, body)
                except (aiohttp.ClientError, TimeoutError, _NotTheOwner) as error:
                    trouble = f"{address}: {error!r}"
            await asyncio.sleep(AGAIN_S)
        raise unavailable(f"The subscription has no owner at present ({trouble}); start a relay.", 5)

    async def _ask(self, partition: str, address: str, method: str, path: str, body: bytes) -> web.Response:
        asked = asyncio.ensure_future(self._call(address, method, path, body))
        try:
            # One that hangs may have lost the subscription: then its successor is asked.
            while not asked.done() and self._addresses.get(partition) == address:
                await asyncio.wait([asked], timeout=AGAIN_S)
            if not asked.done():
                raise _NotTheOwner
            return asked.result()
        finally:
            asked.cancel()

    async def _call(self, address: str, method: str, path: str, body: bytes) -> web.Response:
        headers = None if self._headers is None else self._headers()
        async with self._session.request(method, f"http://{address}{path}", data=body, headers=headers) as answer:
            if answer.status == HTTPStatus.MISDIRECTED_REQUEST:
                raise _NotTheOwner
            headers = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=headers)

    async def close(self) -> None:
        """Stop following them."""
        await self._session.close()
        await self._addresses.close()


class _NotTheOwner(Exception):
    """The relay that was asked does not run the subscription."""
