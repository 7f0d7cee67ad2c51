"""The subscriptions API: definitions are changed here; calls about one that runs are passed on to its owner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from aiohttp import web

from headrace.access.internal_token import InternalTokens
from headrace.access.principal import principal_of
from headrace.access.scopes import Action
from headrace.access.shared_keys import shared_keys
from headrace.consumers.checked import checked, checked_query
from headrace.consumers.core.position import PositionError
from headrace.consumers.operations import pull, snapshots, subscriptions, webhooks
from headrace.consumers.reading import Reading
from headrace.consumers.registered import Registered, checked_for
from headrace.consumers.relay.credentials import Credentials
from headrace.consumers.relay.definition import TOPICS, State, Subscription, etag, new_subscription_id
from headrace.consumers.relay.owners import Owners
from headrace.consumers.relay.reports import ATTEMPTS
from headrace.consumers.relay.signing_key import SigningKey, current, new_signing_key
from headrace.consumers.relay.vault import Vault
from headrace.consumers.sealing import Sealing
from headrace.consumers.subscription_attempts import AskAttempts, attempts_page
from headrace.consumers.subscription_list import page
from headrace.consumers.subscription_request import Create, Resume, Wanted, patched, resolve
from headrace.consumers.subscription_secrets import SubscriptionSecrets
from headrace.consumers.subscription_shown import shown
from headrace.consumers.vetting import Vetting
from headrace.http.problems import Problem
from headrace.kafka.admin import admin_client
from headrace.kafka.topics import ensure_topics
from headrace.openapi.operation import Operation
from headrace.schemas.event import now
from headrace.settings import ServeSettings

log = structlog.get_logger(__name__)

READ_WAIT_S = 2.0
"""How long a look at a subscription waits for its owner: without it, there still is the definition to show."""

OF_OWNER = ("seek", "test", "redeliver", "ack", "lease", "nack", "extend")
"""Verbs that only the owner can carry out."""


class Subscriptions:
    """The part of a service that registers subscriptions. Any gateway answers any call."""

    def __init__(self, settings: ServeSettings, reading: Reading) -> None:
        self._settings = settings
        self._reading = reading
        self._sealing = Sealing(Vault.of(settings))
        self._registered = Registered(settings)
        self._secrets = SubscriptionSecrets(settings, self._registered, self._sealing)
        self._started = False

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Create, list, read, change, delete, and the verbs."""
        one = "/v1/subscriptions/{id}"
        return [
            web.post("/v1/subscriptions", self._create),
            web.get("/v1/subscriptions", self._list),
            web.get(one, self._read),
            web.patch(one, self._patch),
            web.delete(one, self._delete),
            web.post(f"{one}/pause", self._pause),
            web.post(f"{one}/disable", self._disable),
            web.post(f"{one}/resume", self._resume),
            *self._secrets.routes(),
            *(web.post(f"{one}/{verb}", self._pass_on) for verb in OF_OWNER),
            *(web.get(f"{one}/{what}", self._pass_on) for what in ("undelivered", "events", "snapshots")),
            *(web.route(method, f"{one}/snapshots/{{name}}", self._pass_on) for method in ("GET", "PUT", "DELETE")),
            web.get(f"{one}/attempts", self._attempts),
        ]

    def operations(self) -> Iterable[Operation]:
        """What is to be said of them."""
        return (*subscriptions.OPERATIONS, *webhooks.OPERATIONS, *pull.OPERATIONS, *snapshots.OPERATIONS)

    async def start(self) -> None:
        """Read the definitions and the owners."""
        kafka = self._settings.kafka()
        admin = admin_client(kafka)
        await ensure_topics(admin, TOPICS, replication_factor=self._settings.replication_factor)
        self._vetting = Vetting(self._settings)
        headers = InternalTokens(shared_keys(self._settings)).headers if self._settings.access == "keys" else None
        self._owners = Owners(kafka, admin, headers)
        await asyncio.gather(self._registered.load(admin), self._owners.load())
        self._started = True

    def trouble(self) -> str | None:
        """Why subscriptions could not be managed now."""
        return None if self._started else "the subscriptions have not been read yet"

    async def drain(self) -> None:
        """Nothing here lives long."""

    async def close(self) -> None:
        """Leave Kafka."""
        if self._started:
            await self._registered.close()
            await self._owners.close()
            self._vetting.close()

    async def _create(self, request: web.Request) -> web.Response:
        wanted = checked(Create, await request.read())
        principal_of(request).require(Action.SUBSCRIBE, wanted.feed)
        feed_log = await self._reading.log(wanted.feed)
        await self._vetting.vet(wanted.url, wanted.credentials())
        if wanted.verify and wanted.url is None:
            raise Problem(
                HTTPStatus.BAD_REQUEST, "verify: without a url there is nobody to ask.", errors=[{"pointer": "/verify"}]
            )
        try:
            start = feed_log.token(await resolve(wanted, feed_log))
        except PositionError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"offset: {error}", errors=[{"pointer": "/offset"}]) from None
        granted_per_min = await self._vetting.agree(wanted) if wanted.verify else None
        name, moment = wanted.name or new_subscription_id(), now()
        # Who pulls verifies no signature: it gets a key when it becomes a webhook.
        keys = () if wanted.mode == "pull" else (new_signing_key(wanted.signing, time.time()),)
        credentials = wanted.credentials()
        subscription = Subscription(
            id=name,
            feed=wanted.feed,
            url=wanted.url,
            sealed_keys=self._sealing.sealed_keys(name, keys),
            sealed_credentials=self._sealing.sealed_credentials(name, credentials),
            outline=credentials.outline(),
            start=start,
            created=moment,
            updated=moment,
            mode=wanted.mode,
            options=wanted.options(),
            granted_per_min=granted_per_min,
        )
        await self._registered.add(subscription)
        log.info("subscription_created", subscription=name, feed=wanted.feed)
        headers = {"Location": f"/v1/subscriptions/{name}"}
        return shown(subscription, code=201, headers=headers, **_secret_of(keys))

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(page(await self._registered.all(request), request.query), dumps=_dumps)

    async def _read(self, request: web.Request) -> web.Response:
        subscription = await self._registered.known(request)
        try:
            answer = await self._owners.ask(subscription.id, request, READ_WAIT_S)
        except Problem as problem:
            if problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            # Without an owner it stands still, and its definition is all that there is to say.
            return shown(subscription, status=None)
        if answer.status == HTTPStatus.OK and answer.text is not None:
            # The owner may not have heard of the last change yet: the tag is that of what is shown.
            told = orjson.loads(answer.text)
            answer.headers["ETag"] = etag(told["created"], told["version"])
        return answer

    async def _patch(self, request: web.Request) -> web.Response:
        body = await request.read()

        def made(present: Subscription) -> tuple[Wanted, Credentials, bool]:
            wanted, secret = patched(present, body)
            given = {name: getattr(wanted, name) for name in secret}
            credentials = self._sealing.credentials(present).model_copy(update=given)
            return wanted, credentials, bool(secret)

        wanted, credentials, _ = made(await self._registered.known(request))
        await self._vetting.vet(wanted.url, credentials)
        keys: tuple[SigningKey, ...] = ()

        def change(present: Subscription) -> Subscription:
            nonlocal keys
            wanted, credentials, changes_credentials = made(present)
            members: dict[str, Any] = {"mode": wanted.mode, "url": wanted.url, "options": wanted.options()}
            keys = ()
            if wanted.mode == "webhook" and not present.sealed_keys:
                keys = (new_signing_key("hmac", time.time()),)
                members["sealed_keys"] = self._sealing.sealed_keys(present.id, keys)
            if changes_credentials:
                members |= {
                    "sealed_credentials": self._sealing.sealed_credentials(present.id, credentials),
                    "outline": credentials.outline(),
                }
            return present.changed(**members)

        changed = await self._registered.change(request, change)
        return shown(changed, **_secret_of(keys))

    async def _attempts(self, request: web.Request) -> web.Response:
        subscription = await self._registered.known(request)
        asked = checked_query(AskAttempts, request.query)
        body, up_to_date = await attempts_page(await self._reading.log(ATTEMPTS), subscription.id, asked)
        # A page that is not full may just be one of which enough was looked at: readers must know where the end is.
        headers = {"Stream-Up-To-Date": "true"} if up_to_date else {}
        return web.Response(body=orjson.dumps(body), content_type="application/json", headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        await self._registered.delete(request)
        log.info("subscription_deleted", subscription=request.match_info["id"])
        return web.Response(status=204)

    async def _pause(self, request: web.Request) -> web.Response:
        return await self._turned(request, "paused", "")

    async def _disable(self, request: web.Request) -> web.Response:
        return await self._turned(request, "disabled", "on demand")

    async def _resume(self, request: web.Request) -> web.Response:
        """Go on from where it stopped, or from now: then it is moved while it still stands."""
        wanted = checked(Resume, await request.read())
        subscription = checked_for(request, await self._registered.known(request))
        if wanted.from_ == "now":
            seek, wait_s = f"/v1/subscriptions/{subscription.id}/seek", self._settings.owner_wait_s
            moved = await self._owners.call(subscription.id, "POST", seek, b'{"offset":"now"}', wait_s)
            if moved.status != HTTPStatus.OK:
                return moved
        return await self._turned(request, "active", "")

    async def _turned(self, request: web.Request, state: State, reason: str) -> web.Response:
        return shown(await self._registered.change(request, lambda one: one.changed(state=state, reason=reason)))

    # Calls that only the owner can answer

    async def _pass_on(self, request: web.Request) -> web.Response:
        wait_s = self._settings.owner_wait_s
        return await self._owners.ask((await self._registered.known(request)).id, request, wait_s)


def _secret_of(keys: tuple[SigningKey, ...]) -> dict[str, Any]:
    return {"secret": current(keys).receiver_key} if keys else {}


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
