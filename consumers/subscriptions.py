"""The subscriptions API: definitions are written here; calls about one that runs are passed on to its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus

import aiohttp
import orjson
import structlog
from aiohttp import web

from headrace.consumers.core.position import PositionError
from headrace.consumers.reading import Reading
from headrace.consumers.relay.definition import (
    OWNERS,
    SUBSCRIPTIONS,
    TOPICS,
    State,
    Subscription,
    new_subscription_id,
    position_partition,
)
from headrace.consumers.relay.target import Target
from headrace.consumers.subscription_request import Create, checked, resolve
from headrace.http.problems import Problem, unavailable
from headrace.kafka.admin import admin_client
from headrace.kafka.bridge import Outgoing, ProducerBridge, Undelivered
from headrace.kafka.table import Table
from headrace.kafka.topics import ensure_topics
from headrace.schemas.event import now
from headrace.settings import ServeSettings
from headrace.signing import generate_secret

log = structlog.get_logger(__name__)

OWNER_WAIT_S = 10.0
"""How long a call waits while a subscription changes its owner: a session's time-out and a rebalance."""

READ_WAIT_S = 2.0
"""How long a look at a subscription waits for its owner: without it, there still is the definition to show."""

AGAIN_S = 0.2


class Subscriptions:
    """The part of a service that registers subscriptions. Any gateway answers any call."""

    def __init__(self, settings: ServeSettings, reading: Reading) -> None:
        self._settings = settings
        self._reading = reading
        self._started = False
        # Between looking whether a name is taken and taking it, nobody else may.
        self._changing = asyncio.Lock()

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Create, list, read, delete, and the verbs."""
        one = "/v1/subscriptions/{id}"
        return [
            web.post("/v1/subscriptions", self._create),
            web.get("/v1/subscriptions", self._list),
            web.get(one, self._read),
            web.delete(one, self._delete),
            web.post(f"{one}/pause", self._pause),
            web.post(f"{one}/resume", self._resume),
            web.post(f"{one}/seek", self._pass_on),
            web.post(f"{one}/test", self._pass_on),
        ]

    async def start(self) -> None:
        """Read the definitions and the owners."""
        kafka = self._settings.kafka()
        admin = admin_client(kafka)
        await ensure_topics(admin, TOPICS, replication_factor=self._settings.replication_factor)
        self._bridge = ProducerBridge(kafka, name="subscriptions")
        self._definitions = Table(kafka, admin, SUBSCRIPTIONS.name, Subscription.from_bytes)
        self._owners: Table[str] = Table(kafka, admin, OWNERS.name, lambda value: str(orjson.loads(value)["address"]))
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        await asyncio.gather(self._definitions.load(), self._owners.load())
        self._started = True

    def trouble(self) -> str | None:
        """Why subscriptions could not be managed now."""
        return None if self._started else "the subscriptions have not been read yet"

    async def drain(self) -> None:
        """Nothing here lives long."""

    async def close(self) -> None:
        """Leave Kafka."""
        if self._started:
            await self._session.close()
            await self._definitions.close()
            await self._owners.close()
            await self._bridge.close()

    async def _create(self, request: web.Request) -> web.Response:
        wanted = checked(Create, await request.read())
        try:
            Target.of(wanted.url)
        except ValueError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"url: {error}.", errors=[{"pointer": "/url"}]) from None
        feed_log = await self._reading.log(wanted.feed)
        try:
            start = feed_log.token(await resolve(wanted, feed_log))
        except PositionError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"offset: {error}", errors=[{"pointer": "/offset"}]) from None
        subscription = Subscription(
            id=wanted.name or new_subscription_id(),
            feed=wanted.feed,
            url=wanted.url,
            secret=generate_secret(),
            start=start,
            created=now(),
            ordering=wanted.ordering,
            description=wanted.description,
        )
        async with self._changing:
            await self._definitions.catch_up()
            if subscription.id in self._definitions:
                raise Problem(HTTPStatus.CONFLICT, f"A subscription is called {subscription.id} already.")
            await self._write(subscription.id, subscription)
        log.info("subscription_created", subscription=subscription.id, feed=subscription.feed)
        body = {**subscription.public(), "secret": subscription.secret}
        headers = {"Location": f"/v1/subscriptions/{subscription.id}", "Cache-Control": "no-store"}
        return web.Response(status=201, body=orjson.dumps(body), content_type="application/json", headers=headers)

    async def _list(self, request: web.Request) -> web.Response:
        await self._definitions.catch_up()
        found = [s.public() for s in sorted(self._definitions.values(), key=lambda s: (s.created, s.id))]
        return web.Response(body=orjson.dumps({"subscriptions": found}), content_type="application/json")

    async def _read(self, request: web.Request) -> web.Response:
        subscription = await self._known(request)
        try:
            return await self._ask_owner(request, subscription, READ_WAIT_S)
        except Problem as problem:
            if problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            # Without an owner it stands still, and its definition is all that there is to say.
            body = {**subscription.public(), "status": None}
            return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _delete(self, request: web.Request) -> web.Response:
        async with self._changing:
            subscription = await self._known(request)
            await self._write(subscription.id, None)
        log.info("subscription_deleted", subscription=subscription.id)
        return web.Response(status=204)

    async def _pause(self, request: web.Request) -> web.Response:
        return await self._change_state(request, "paused")

    async def _resume(self, request: web.Request) -> web.Response:
        return await self._change_state(request, "active")

    async def _change_state(self, request: web.Request, state: State) -> web.Response:
        async with self._changing:
            changed = replace(await self._known(request), state=state)
            await self._write(changed.id, changed)
        return web.Response(body=orjson.dumps(changed.public()), content_type="application/json")

    async def _known(self, request: web.Request) -> Subscription:
        await self._definitions.catch_up()
        name = request.match_info["id"]
        if name not in self._definitions:
            raise Problem(HTTPStatus.NOT_FOUND, f"No subscription is called {name}; GET /v1/subscriptions lists them.")
        return self._definitions[name]

    async def _write(self, name: str, subscription: Subscription | None) -> None:
        value = None if subscription is None else subscription.to_bytes()
        try:
            await self._bridge.write([Outgoing(SUBSCRIPTIONS.name, name.encode(), value)])
        except Undelivered as error:
            raise unavailable(f"Kafka did not acknowledge the change: {error}. Ask again.") from None
        await self._definitions.catch_up()

    # Calls that only the owner can answer

    async def _pass_on(self, request: web.Request) -> web.Response:
        return await self._ask_owner(request, await self._known(request), OWNER_WAIT_S)

    async def _ask_owner(self, request: web.Request, subscription: Subscription, wait_s: float) -> web.Response:
        """Ask the owner; while there is none, or another than announced, look again."""
        body = await request.read()
        partition = str(position_partition(subscription.id))
        trouble = "no relay runs"
        deadline_s = asyncio.get_running_loop().time() + wait_s
        while asyncio.get_running_loop().time() < deadline_s:
            if (address := self._owners.get(partition)) is not None:
                try:
                    return await self._ask(partition, address, request, body)
                except (aiohttp.ClientError, TimeoutError, _NotTheOwner) as error:
                    trouble = f"{address}: {error!r}"
            await asyncio.sleep(AGAIN_S)
        raise unavailable(f"The subscription has no owner at present ({trouble}); start a relay.", 5)

    async def _ask(self, partition: str, address: str, request: web.Request, body: bytes) -> web.Response:
        asked = asyncio.ensure_future(self._call(address, request, body))
        try:
            # One that hangs may have lost the subscription: then its successor is asked.
            while not asked.done() and self._owners.get(partition) == address:
                await asyncio.wait([asked], timeout=AGAIN_S)
            if not asked.done():
                raise _NotTheOwner
            return asked.result()
        finally:
            asked.cancel()

    async def _call(self, address: str, request: web.Request, body: bytes) -> web.Response:
        async with self._session.request(request.method, f"http://{address}{request.path_qs}", data=body) as answer:
            if answer.status == HTTPStatus.MISDIRECTED_REQUEST:
                raise _NotTheOwner
            return web.Response(
                status=answer.status, body=await answer.read(), headers={"Content-Type": answer.headers["Content-Type"]}
            )


class _NotTheOwner(Exception):
    """The relay that was asked does not run the subscription."""
