"""Cross-origin requests of browsers (the Fetch standard): preflights, and which headers a page may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import hdrs, web

from headrace.http.problems import Handler
from headrace.http.still import Still

EXPOSED = ", ".join(
    (
        "Stream-Next-Offset",
        "Stream-Up-To-Date",
        "Stream-Cursor",
        "Stream-Closed",
        "Stream-SSE-Data-Encoding",
        "Stream-Seq",
        "Stream-TTL",
        "Stream-Expires-At",
        "Producer-Epoch",
        "Producer-Seq",
        "Producer-Expected-Seq",
        "Producer-Received-Seq",
        "ETag",
        "Location",
        "Retry-After",
        "RateLimit",
        "RateLimit-Policy",
        "WWW-Authenticate",
    )
)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
MAX_AGE_S = 7200
"""Browsers keep no preflight for longer."""


class Cors(Still):
    """The part of a service that lets pages of other origins in. Credentials are never cookies, so none are allowed."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origins)

    def install(self, app: web.Application) -> None:
        """Stand before all handlers of an application, and before whoever asks for a credential."""
        app.middlewares.append(self._preflight)
        app.on_response_prepare.append(self._headers)

    @web.middleware
    async def _preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return await handler(request)
        headers = {"Vary": "Access-Control-Request-Headers"}
        if self._allowed(request) is not None:
            headers |= {
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
                hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE_S),
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "*"),
            }
        return web.Response(status=204, headers=headers)

    async def _headers(self, request: web.Request, response: web.StreamResponse) -> None:
        for name, value in self.headers(request).items():
            response.headers.add(name, value)

    def headers(self, request: web.Request) -> Mapping[str, str]:
        """The headers of an answer to a request."""
        headers = {} if self._all else {"Vary": "Origin"}
        if (origin := self._allowed(request)) is not None:
            headers |= {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin, hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: EXPOSED}
        return headers

    def _allowed(self, request: web.Request) -> str | None:
        if self._all:
            return "*"
        origin = request.headers.get(hdrs.ORIGIN)
        return origin if origin in self._origins else None
