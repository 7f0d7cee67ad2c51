"""The gate of services that people do not call: relays take calls of gateways, and workers none."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from headrace.access.gate import unauthorized
from headrace.access.internal_token import InternalTokens
from headrace.access.rules import rule_of
from headrace.http.problems import Handler
from headrace.http.still import Still
from headrace.secret_keys import SecretKey


class InternalGate(Still):
    """Lets everybody see metrics and health, and nobody else in but who holds the shared keys."""

    def __init__(self, keys: Sequence[SecretKey]) -> None:
        self._tokens = InternalTokens(keys) if keys else None

    def install(self, app: web.Application) -> None:
        """Stand before all handlers of an application."""
        app.middlewares.append(self._let_in)

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        rule = rule_of(request.method, request.match_info.route.resource)
        if rule is None or not rule.free:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if self._tokens is None or scheme.lower() != "bearer" or not self._tokens.holds(token):
                raise unauthorized("Only gateways with the same HEADRACE_SECRET_KEYS may call this: ask one of them.")
        return await handler(request)
