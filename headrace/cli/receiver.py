"""A webhook receiver: takes what is signed with its secret (Standard Webhooks 1.0), refuses the rest."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from headrace.signing import VerificationError, verify

MAX_BODY_BYTES = 16 * 2**20
REMEMBERED_IDS = 100_000
"""Among so many of the newest messages a repeat is seen."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that came. `refused` says why it was not taken; `event` is None where the body is not JSON."""

    time: datetime
    webhook_id: str
    refused: str | None
    repeat: bool
    body: bytes
    event: dict[str, Any] | None


@dataclass(slots=True)
class Counts:
    """What came so far. A repeat is not counted as an event again."""

    events: int = 0
    repeats: int = 0
    refused: int = 0


class Receiver:
    """Answers 204 to what is verified, once `arrived` was called with it, and 401 with a reason to everything else.

    A message that comes before the secret is known waits for it.
    """

    def __init__(self, arrived: Callable[[Arrival], None]) -> None:
        self.counts = Counts()
        self._arrived = arrived
        self._secret: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._seen: OrderedDict[str, None] = OrderedDict()

    def trust(self, secret: str) -> None:
        """Take what is signed with this secret from now on."""
        self._secret.set_result(secret)

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Take messages on any path; gives the port, a free one for 0. Raises `OSError` where it is taken."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/{path:.*}", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        secret = await asyncio.shield(self._secret)
        message_id = request.headers.get("webhook-id", "")
        refused = _fault(secret, request, body)
        repeat = refused is None and message_id in self._seen
        if refused is not None:
            self.counts.refused += 1
        elif repeat:
            self.counts.repeats += 1
        else:
            self.counts.events += 1
            self._remember(message_id)
        self._arrived(Arrival(datetime.now(UTC), message_id, refused, repeat, body, _event(body)))
        if refused is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        return web.Response(status=HTTPStatus.UNAUTHORIZED, text=f"{refused}\n")

    def _remember(self, message_id: str) -> None:
        self._seen[message_id] = None
        if len(self._seen) > REMEMBERED_IDS:
            self._seen.popitem(last=False)


def _fault(secret: str, request: web.Request, body: bytes) -> str | None:
    """Why a message must not be trusted."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    message_id, timestamp, signature = (request.headers.get(name, "") for name in names)
    for name in names:
        if name not in request.headers:
            return f"the header {name} is missing"
    try:
        verify(secret, message_id, timestamp, signature, body)
    except VerificationError as error:
        return str(error)
    except ValueError:
        return "its webhook headers are malformed"
    return None


def _event(body: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None
