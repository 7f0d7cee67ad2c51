"""The middleware before every handler: who asks, whether it may, and whether its quotas allow it now."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from http import HTTPStatus

import structlog
from aiohttp import web

from headrace import metrics
from headrace.access.authenticator import QUERY, Authenticator
from headrace.access.credential import Credential, Denied
from headrace.access.principal import EVENTS, PRINCIPAL, Principal, lacking
from headrace.access.quotas import Meter, Meters, Quotas
from headrace.access.rules import FEED_PARAMETER, On, Rule, is_free, rule_of
from headrace.access.visits import Visit, Visits
from headrace.http.problems import Handler, Problem

log = structlog.get_logger(__name__)

METERS: web.RequestKey[tuple[Meter, ...]] = web.RequestKey("meters", tuple)
SAFE = ("GET", "HEAD")
"""What can be broken off without anybody asking what became of it."""
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class Gate:
    """Lets requests in, and closes what they opened when their credential ends."""

    def __init__(self, authenticator: Authenticator, visits: Visits, address_quotas: Quotas) -> None:
        self._authenticator = authenticator
        self._visits = visits
        self._address_quotas = address_quotas
        self._principals = Meters()
        self._addresses = Meters("address-")

    def install(self, app: web.Application) -> None:
        """Stand before all handlers of an application."""
        app.middlewares.append(self._let_in)
        app.on_response_prepare.append(_headers)

    def prune(self) -> None:
        """Forget quotas that nobody uses."""
        self._principals.prune()
        self._addresses.prune()

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        rule = rule_of(request.method, request.match_info.route.resource)
        if rule is not None and rule.free:
            return await handler(request)
        if isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed) and is_free(request.path):
            return await handler(request)
        of_address = self._addresses.of(request.remote or "", self._address_quotas)
        _admit(request, (of_address,))
        try:
            credential = await self._authenticator.credential(request)
        except Denied as denied:
            if of_address is not None:
                of_address.charge(requests=1)
            raise unauthorized(str(denied)) from None
        meters = _admit(request, (of_address, self._principals.of(credential.principal, credential.quotas)))
        for meter in meters:
            meter.charge(requests=1)
        if request.match_info.http_exception is None:
            _check(rule, request, credential)
        visit = Visit(credential, meters, _cancel(request))
        request[PRINCIPAL] = Principal(credential, visit, self._visits)
        if QUERY in request.query:
            # From here on nobody can log it, or pass it on.
            request = request.clone(rel_url=request.rel_url.without_query_params(QUERY))
        return await self._visited(request, handler, visit)

    async def _visited(self, request: web.Request, handler: Handler, visit: Visit) -> web.StreamResponse:
        self._visits.enter(visit)
        try:
            response = await handler(request)
        except asyncio.CancelledError:
            if not visit.ended or visit.kept:
                raise
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            raise unauthorized("The key was revoked, or the token expired, while the request was open.") from None
        finally:
            if not visit.kept:
                self._visits.leave(visit)
        if visit.meters:
            _charge(request, response, visit.meters)
        return response


def unauthorized(detail: str) -> Problem:
    """401 (RFC 6750 section 3)."""
    metrics.access_refused.labels("credential").inc()
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="headrace"'})


def _check(rule: Rule | None, request: web.Request, credential: Credential) -> None:
    if rule is None:
        log.error("route_without_rule", method=request.method, route=str(request.match_info.route.resource))
        metrics.errors.labels("access").inc()
        raise Problem(HTTPStatus.FORBIDDEN, "No rule says who may call this: it is refused to all.")
    if rule.action is None:
        return
    if rule.on is On.PATH:
        feed = request.match_info[FEED_PARAMETER]
        if not credential.may(rule.action, feed):
            raise lacking([(rule.action, feed)])
    elif not credential.may_anywhere(rule.action):
        raise lacking([(rule.action, "*")])


def _admit(request: web.Request, meters: tuple[Meter | None, ...]) -> tuple[Meter, ...]:
    present = tuple(meter for meter in meters if meter is not None)
    if present:
        request[METERS] = present
    for meter in present:
        if (refusal := meter.refusal()) is not None:
            metrics.access_refused.labels(refusal.quota).inc()
            wait_s = math.ceil(refusal.wait_s)
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"The quota {refusal.quota} is used up; come again in {wait_s} s.",
                headers={"Retry-After": str(wait_s)},
                type=QUOTA_EXCEEDED,
                **{"violated-policies": [refusal.quota]},
            )
    return present


def _charge(request: web.Request, response: web.StreamResponse, meters: tuple[Meter, ...]) -> None:
    """What passed, in both directions. Streams are charged as they go, by whoever writes them."""
    body = response.body if isinstance(response, web.Response) else None
    bytes_ = request.content.total_bytes + (len(body) if isinstance(body, bytes) else 0)
    for meter in meters:
        meter.charge(events=response.get(EVENTS, 0), bytes_=bytes_)


def _cancel(request: web.Request) -> Callable[[], object] | None:
    task = asyncio.current_task()
    return task.cancel if request.method in SAFE and task is not None else None


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    meters = request.get(METERS, ())
    if meters:
        response.headers["RateLimit-Policy"] = ", ".join(item for meter in meters for item in meter.policies())
        response.headers["RateLimit"] = ", ".join(item for meter in meters for item in meter.standings())
    if PRINCIPAL in request:
        # What is public may be given to others by caches on the way, and X-API-Key says nothing to them.
        control = response.headers.get("Cache-Control", "no-cache")
        if "no-store" not in control:
            kept = [part for part in control.split(", ") if part not in ("public", "private")]
            response.headers["Cache-Control"] = ", ".join(["private", *kept])
