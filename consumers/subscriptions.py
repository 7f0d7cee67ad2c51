"""The subscriptions API: definitions are changed here; calls about one that runs are passed on to its owner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
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
from headrace.consumers.relay.credentials import ClientCredentials, Credentials
from headrace.consumers.relay.definition import TOPICS, Subscription, etag, new_subscription_id
from headrace.consumers.relay.definitions import Change, Definitions
from headrace.consumers.relay.guard import Guard
from headrace.consumers.relay.handshake import NotAgreed, agree
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.owners import Owners
from headrace.consumers.relay.reports import ATTEMPTS
from headrace.consumers.relay.secrets import open_credentials, open_keys, seal_credentials, seal_keys
from headrace.consumers.relay.signing_key import SigningKey, current, new_signing_key, rotate
from headrace.consumers.relay.target import Target
from headrace.consumers.relay.vault import CannotOpen, CannotSeal, Vault
from headrace.consumers.subscription_attempts import AskAttempts, attempts_page
from headrace.consumers.subscription_list import page
from headrace.consumers.subscription_request import (
    Create,
    Resume,
    Rotate,
    Wanted,
    patched,
    resolve,
)
from headrace.http.problems import Problem
from headrace.kafka.admin import admin_client
from headrace.kafka.topics import ensure_topics
from headrace.openapi.operation import Operation
from headrace.schemas.event import now
from headrace.settings import ServeSettings

log = structlog.get_logger(__name__)

OWNER_WAIT_S = 10.0
"""How long a call waits while a subscription changes its owner: a session's time-out and a rebalance."""

READ_WAIT_S = 2.0
"""How long a look at a subscription waits for its owner: without it, there still is the definition to show."""

VET_S = 5.0
"""How long the look-up of an endpoint's name may take when it is registered."""

OF_OWNER = ("seek", "test", "redeliver", "ack", "lease", "nack", "extend")
"""Verbs that only the owner can carry out."""


class Subscriptions:
    """The part of a service that registers subscriptions. Any gateway answers any call."""

    def __init__(self, settings: ServeSettings, reading: Reading) -> None:
        self._settings = settings
        self._reading = reading
        self._vault = Vault.of(settings)
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
            web.post(f"{one}/secret/rotate", self._rotate),
            web.post(f"{one}/secret/reveal", self._reveal),
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
        self._client = HttpClient(VET_S, guard=Guard(self._settings.webhook_allow, self._settings.webhook_ports))
        self._definitions = Definitions(kafka, admin)
        headers = InternalTokens(shared_keys(self._settings)).headers if self._settings.access == "keys" else None
        self._owners = Owners(kafka, admin, headers)
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
            await self._definitions.close()
            await self._owners.close()
            self._client.close()

    # Definitions

    async def _create(self, request: web.Request) -> web.Response:
        wanted = checked(Create, await request.read())
        principal_of(request).require(Action.SUBSCRIBE, wanted.feed)
        feed_log = await self._reading.log(wanted.feed)
        if feed_log.entry.feed.is_stream:
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                f"feed: {wanted.feed} is a stream, made by PUT; subscriptions are to feeds that a file defines.",
                errors=[{"pointer": "/feed"}],
            )
        await self._vet(wanted.url, wanted.credentials())
        if wanted.verify and wanted.url is None:
            raise Problem(
                HTTPStatus.BAD_REQUEST, "verify: without a url there is nobody to ask.", errors=[{"pointer": "/verify"}]
            )
        try:
            start = feed_log.token(await resolve(wanted, feed_log))
        except PositionError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"offset: {error}", errors=[{"pointer": "/offset"}]) from None
        granted_per_min = await self._agree(wanted) if wanted.verify else None
        name, moment = wanted.name or new_subscription_id(), now()
        # Who pulls verifies no signature: it gets a key when it becomes a webhook.
        keys = () if wanted.mode == "pull" else (new_signing_key(wanted.signing, time.time()),)
        credentials = wanted.credentials()
        subscription = Subscription(
            id=name,
            feed=wanted.feed,
            url=wanted.url,
            sealed_keys=self._seal(lambda: seal_keys(self._vault, name, keys)) if keys else "",
            sealed_credentials=self._seal(lambda: seal_credentials(self._vault, name, credentials)),
            outline=credentials.outline(),
            start=start,
            created=moment,
            updated=moment,
            mode=wanted.mode,
            options=wanted.options(),
            granted_per_min=granted_per_min,
        )

        def made(present: Subscription | None) -> Subscription:
            if present is not None:
                raise Problem(HTTPStatus.CONFLICT, f"A subscription is called {name} already.")
            return subscription

        await self._definitions.change(name, made)
        log.info("subscription_created", subscription=name, feed=wanted.feed)
        headers = {"Location": f"/v1/subscriptions/{name}"}
        return _answer(subscription, 201, headers, **_secret_of(keys))

    async def _list(self, request: web.Request) -> web.Response:
        await self._definitions.catch_up()
        principal = principal_of(request)
        seen = (s for s in self._definitions.values() if principal.may(Action.SUBSCRIBE, s.feed))
        return web.json_response(page(seen, request.query), dumps=_dumps)

    async def _read(self, request: web.Request) -> web.Response:
        subscription = await self._known(request)
        try:
            answer = await self._owners.ask(subscription.id, request, READ_WAIT_S)
        except Problem as problem:
            if problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            # Without an owner it stands still, and its definition is all that there is to say.
            return _answer(subscription, status_now=None)
        if answer.status == HTTPStatus.OK and answer.text is not None:
            # The owner may not have heard of the last change yet: the tag is that of what is shown.
            shown = orjson.loads(answer.text)
            answer.headers["ETag"] = etag(shown["created"], shown["version"])
        return answer

    async def _patch(self, request: web.Request) -> web.Response:
        body = await request.read()

        def made(present: Subscription) -> tuple[Wanted, Credentials, bool]:
            wanted, secret = patched(present, body)
            given = {name: getattr(wanted, name) for name in secret}
            credentials = self._open(lambda: open_credentials(self._vault, present)).model_copy(update=given)
            return wanted, credentials, bool(secret)

        wanted, credentials, _ = made(await self._known(request))
        await self._vet(wanted.url, credentials)
        keys: tuple[SigningKey, ...] = ()

        def change(present: Subscription) -> Subscription:
            nonlocal keys
            wanted, credentials, changes_credentials = made(present)
            members: dict[str, Any] = {"mode": wanted.mode, "url": wanted.url, "options": wanted.options()}
            keys = ()
            if wanted.mode == "webhook" and not present.sealed_keys:
                keys = (new_signing_key("hmac", time.time()),)
                members["sealed_keys"] = self._seal(lambda: seal_keys(self._vault, present.id, keys))
            if changes_credentials:
                members |= {
                    "sealed_credentials": self._seal(lambda: seal_credentials(self._vault, present.id, credentials)),
                    "outline": credentials.outline(),
                }
            return present.changed(**members)

        changed = await self._change(request, change)
        return _answer(changed, **_secret_of(keys))

    async def _vet(self, url: str | None, credentials: Credentials) -> None:
        """Refuse an endpoint, or a server of tokens, that must not be sent to, and a TLS identity that is none."""
        targets: dict[str, Callable[[], Target]] = {}
        if url is not None:
            targets["/url"] = lambda: Target.of(url)
            if credentials.tls is not None:
                targets["/tls"] = lambda: Target.of(url, credentials.client_tls())
        if isinstance(auth := credentials.auth, ClientCredentials):
            token_url = auth.token_url
            targets["/auth/token_url"] = lambda: Target.of(token_url)
        for pointer, target in targets.items():
            try:
                await self._client.vet(target())
            except ValueError as error:
                where = pointer.strip("/").replace("/", ".")
                raise Problem(HTTPStatus.BAD_REQUEST, f"{where}: {error}.", errors=[{"pointer": pointer}]) from None

    async def _agree(self, wanted: Wanted) -> int | None:
        """The requests a minute that the endpoint allows; raises `Problem` 400 where it does not agree."""
        rate = wanted.rate_limit_per_s
        per_min = None if rate is None else max(int(rate * 60), 1)
        try:
            target = Target.of(wanted.url or "", wanted.client_tls())
            return await agree(self._client, target, self._settings.webhook_origin, per_min)
        except NotAgreed as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"url: {error}.", errors=[{"pointer": "/url"}]) from None

    async def _attempts(self, request: web.Request) -> web.Response:
        subscription = await self._known(request)
        asked = checked_query(AskAttempts, request.query)
        body, up_to_date = await attempts_page(await self._reading.log(ATTEMPTS), subscription.id, asked)
        # A page that is not full may just be one of which enough was looked at: readers must know where the end is.
        headers = {"Stream-Up-To-Date": "true"} if up_to_date else {}
        return web.Response(body=orjson.dumps(body), content_type="application/json", headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        await self._definitions.change(name, self._checked(request, lambda present: None))
        log.info("subscription_deleted", subscription=name)
        return web.Response(status=204)

    async def _pause(self, request: web.Request) -> web.Response:
        return _answer(await self._change(request, lambda present: present.changed(state="paused", reason="")))

    async def _disable(self, request: web.Request) -> web.Response:
        changed = await self._change(request, lambda present: present.changed(state="disabled", reason="on demand"))
        return _answer(changed)

    async def _resume(self, request: web.Request) -> web.Response:
        """Go on from where it stopped, or from now: then it is moved while it still stands."""
        wanted = checked(Resume, await request.read())
        subscription = await self._known(request)
        self._checked(request, lambda present: present)(subscription)
        if wanted.from_ == "now":
            seek = f"/v1/subscriptions/{subscription.id}/seek"
            moved = await self._owners.call(subscription.id, "POST", seek, b'{"offset":"now"}', OWNER_WAIT_S)
            if moved.status != HTTPStatus.OK:
                return moved
        return _answer(await self._change(request, lambda present: present.changed(state="active", reason="")))

    async def _change(self, request: web.Request, change: Any) -> Subscription:
        changed = await self._definitions.change(request.match_info["id"], self._checked(request, change))
        assert changed is not None
        return changed

    def _checked(self, request: web.Request, change: Any) -> Change:
        """The change of one that is there and is what `If-Match` says."""
        name, wanted = request.match_info["id"], request.headers.get("If-Match")
        principal = principal_of(request)

        def checked_change(present: Subscription | None) -> Subscription | None:
            if present is None:
                raise _unknown(name)
            principal.require(Action.SUBSCRIBE, present.feed)
            if wanted is not None and wanted != "*" and present.etag not in [tag.strip() for tag in wanted.split(",")]:
                raise Problem(
                    HTTPStatus.PRECONDITION_FAILED,
                    "Somebody has changed it since: read it again.",
                    headers={"ETag": present.etag},
                )
            changed: Subscription | None = change(present)
            return changed

        return checked_change

    async def _known(self, request: web.Request) -> Subscription:
        await self._definitions.catch_up()
        name = request.match_info["id"]
        if name not in self._definitions:
            raise _unknown(name)
        subscription = self._definitions[name]
        principal_of(request).require(Action.SUBSCRIBE, subscription.feed)
        return subscription

    # Secrets

    async def _rotate(self, request: web.Request) -> web.Response:
        wanted = checked(Rotate, await request.read())
        overlap_s = self._settings.secret_overlap_s if wanted.overlap_s is None else wanted.overlap_s
        made: list[str] = []

        def change(present: Subscription) -> Subscription:
            keys = self._keys(present)
            rotated = rotate(keys, wanted.signing or current(keys).kind, overlap_s, time.time())
            made[:] = [current(rotated).receiver_key]
            return present.changed(sealed_keys=self._seal(lambda: seal_keys(self._vault, present.id, rotated)))

        subscription = await self._change(request, change)
        log.warning("secret_rotated", subscription=subscription.id, overlap_s=overlap_s)
        return _answer(subscription, secret=made[0])

    async def _reveal(self, request: web.Request) -> web.Response:
        subscription = await self._known(request)
        keys = self._keys(subscription)
        log.warning("secret_revealed", subscription=subscription.id, remote=request.remote)
        body = {"id": subscription.id, "secret": current(keys).receiver_key}
        return web.json_response(body, headers={"Cache-Control": "no-store"})

    def _keys(self, subscription: Subscription) -> tuple[SigningKey, ...]:
        if not subscription.sealed_keys:
            raise Problem(HTTPStatus.CONFLICT, "It has no signing key: it was pulled from all the time, never pushed.")
        keys: tuple[SigningKey, ...] = self._open(lambda: open_keys(self._vault, subscription))
        return keys

    def _seal(self, seal: Any) -> str:
        try:
            sealed: str = seal()
        except CannotSeal as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        return sealed

    def _open(self, opener: Any) -> Any:
        try:
            return opener()
        except CannotOpen as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"Its secrets cannot be opened: {error}.") from None

    # Calls that only the owner can answer

    async def _pass_on(self, request: web.Request) -> web.Response:
        return await self._owners.ask((await self._known(request)).id, request, OWNER_WAIT_S)


def _unknown(name: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"No subscription is called {name}; GET /v1/subscriptions lists them.")


def _secret_of(keys: tuple[SigningKey, ...]) -> dict[str, Any]:
    return {"secret": current(keys).receiver_key} if keys else {}


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def _answer(subscription: Subscription, status: int = 200, headers: Any = None, **members: Any) -> web.Response:
    told = {"status" if name == "status_now" else name: value for name, value in members.items()}
    body = orjson.dumps({**subscription.public(), **told})
    kept = {"Cache-Control": "no-store"} if "secret" in members else {}
    return web.Response(
        status=status,
        body=body,
        content_type="application/json",
        headers={"ETag": subscription.etag, **kept, **(headers or {})},
    )
