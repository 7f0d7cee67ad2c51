"""Access as a part of a service: what it follows in Kafka, the gate before the handlers, and `POST /v1/tokens`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from http import HTTPStatus

import orjson
import structlog
from aiohttp import web
from pydantic import ValidationError

from headrace import metrics
from headrace.access.authenticator import Authenticator
from headrace.access.gate import Gate
from headrace.access.jwks import Jwks
from headrace.access.key_table import KeyTable, admin_key
from headrace.access.operations import OPERATIONS
from headrace.access.principal import Principal, lacking, principal_of
from headrace.access.query_token import ACTIONS, QueryTokens
from headrace.access.quotas import Quotas
from headrace.access.scopes import InvalidScope, parse_scopes
from headrace.access.shared_keys import shared_keys
from headrace.access.token_request import TokenRequest
from headrace.access.visits import Visits
from headrace.errors import Misconfigured
from headrace.http.problems import Problem
from headrace.kafka.admin import admin_client
from headrace.openapi.operation import Operation
from headrace.schemas.event import rfc3339
from headrace.settings import AccessSettings, SecretsSettings

log = structlog.get_logger(__name__)

SWEEP_S = 0.5
"""How long after its expiry a stream may stay open."""


class Access:
    """Keys, tokens and quotas. Raises `Misconfigured` for settings that cannot be used."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._admin_key = admin_key(settings)
        self._quotas = Quotas(
            settings.quota_requests_per_s,
            settings.quota_events_per_s,
            settings.quota_bytes_per_s,
            settings.quota_connections,
        )
        self._tokens = QueryTokens(shared_keys(settings)) if isinstance(settings, SecretsSettings) else None
        self._jwks: Jwks | None = None
        if settings.jwks_url is not None:
            if not settings.jwt_issuer or not settings.jwt_audience:
                raise Misconfigured(
                    "HEADRACE_JWKS_URL needs HEADRACE_JWT_ISSUER and HEADRACE_JWT_AUDIENCE: else a token that the same "
                    "provider made for another service would be taken."
                )
            self._jwks = Jwks(settings.jwks_url)
        self.visits = Visits()
        self._keys = KeyTable(
            settings.kafka(),
            admin_client(settings.kafka()),
            admin_key=self._admin_key,
            quotas=self._quotas,
            on_end=self.visits.end_key,
        )
        of_address = Quotas(
            settings.address_requests_per_s,
            settings.address_events_per_s,
            settings.address_bytes_per_s,
            settings.address_connections,
        )
        self._gate = Gate(self._authenticator(), self.visits, of_address)
        self._sweeping: asyncio.Task[None] | None = None

    def _authenticator(self) -> Authenticator:
        if self._jwks is None:
            return Authenticator(self._keys, self._tokens, None, self._quotas)
        from headrace.access.jwt import JwtVerifier

        issuer, audience = self._settings.jwt_issuer or "", self._settings.jwt_audience or ""
        jwts = JwtVerifier(self._jwks, issuer=issuer, audience=audience, quotas=self._quotas)
        return Authenticator(self._keys, self._tokens, jwts, self._quotas)

    def install(self, app: web.Application) -> None:
        """Stand before all handlers of an application."""
        self._gate.install(app)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Making browser tokens, where there are keys to sign them with."""
        return [web.post("/v1/tokens", self._make_token)] if self._tokens is not None else []

    def operations(self) -> Iterable[Operation]:
        """What is to be said of its route."""
        return OPERATIONS if self._tokens is not None else ()

    async def start(self) -> None:
        """Read the keys, and the key set of JWTs; follow both."""
        await self._keys.load(self._settings.replication_factor)
        if self._jwks is not None:
            await self._jwks.refresh()
        if not len(self._keys) and self._jwks is None:
            log.warning("no_keys", hint="headrace keys create --name NAME --scope admin:*")
        self._sweeping = asyncio.ensure_future(self._sweep())

    def trouble(self) -> str | None:
        """Why nobody could be let in now."""
        if self._sweeping is None:
            return "the keys have not been read yet"
        if self._jwks is not None and not self._jwks.loaded:
            return "the key set of JWTs could not be fetched yet; see the log"
        return None

    async def drain(self) -> None:
        """Streams are ended by whoever writes them."""

    async def close(self) -> None:
        """Leave Kafka."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        await self._keys.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                self.visits.end_expired(time.time())
                self._gate.prune()
                if self._jwks is not None:
                    await self._jwks.refresh()
            except Exception:
                log.exception("access_sweep_failed")
                metrics.errors.labels("access").inc()

    async def _make_token(self, request: web.Request) -> web.Response:
        principal = principal_of(request)
        assert isinstance(principal, Principal)
        assert self._tokens is not None
        try:
            wanted = TokenRequest.model_validate_json(await request.read(), strict=True)
            scopes = parse_scopes(wanted.scopes)
        except ValidationError as error:
            faults = [{"pointer": "/" + "/".join(map(str, e["loc"])), "detail": e["msg"]} for e in error.errors()]
            raise Problem(HTTPStatus.BAD_REQUEST, "The body does not fit; see errors.", errors=faults) from None
        except InvalidScope as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"scopes: {error}.", errors=[{"pointer": "/scopes"}]) from None
        credential = principal.credential
        if not credential.may_delegate:
            raise Problem(HTTPStatus.FORBIDDEN, "A browser token makes no others: use a key or a JWT.")
        if refused := [str(scope) for scope in scopes if scope.action not in ACTIONS]:
            detail = f"scopes: {', '.join(refused)} cannot be given to a browser, only read and subscribe."
            raise Problem(HTTPStatus.BAD_REQUEST, detail, errors=[{"pointer": "/scopes"}])
        if missing := [scope for scope in scopes if not any(own.covers(scope) for own in credential.scopes)]:
            raise lacking((scope.action, scope.pattern) for scope in missing)
        token, expires_s = self._tokens.make(credential, scopes, wanted.ttl_s)
        body = {"token": token, "scopes": wanted.scopes, "expires": rfc3339(int(expires_s * 1000))}
        headers = {"Cache-Control": "no-store"}
        return web.Response(status=201, body=orjson.dumps(body), content_type="application/json", headers=headers)
