"""`/openapi.json`, `/docs` and `/asyncapi.json`: a service describes itself."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from aiohttp import web

from headrace.access.principal import principal_of
from headrace.access.scopes import Action
from headrace.asyncapi.document import asyncapi
from headrace.http.service import OPERATIONS
from headrace.http.still import Still
from headrace.openapi import operations
from headrace.openapi.document import Json, openapi
from headrace.openapi.operation import Operation
from headrace.openapi.page.layout import CONTENT_SECURITY_POLICY, page
from headrace.schemas.catalogue import Catalogue
from headrace.settings import Settings

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}


class Documentation(Still):
    """The part of a service that describes all its parts, and the feeds of a catalogue."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._with_access = settings.access == "keys"
        self._catalogue = catalogue
        self._openapi: Json | None = None

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """The two documents, and a page for people."""
        return [
            web.get("/openapi.json", self._tell_openapi),
            web.get("/asyncapi.json", self._tell_asyncapi),
            web.get("/docs", self._tell_page),
        ]

    def operations(self) -> Iterable[Operation]:
        """What is to be said of them."""
        return operations.OPERATIONS

    def _document(self, request: web.Request) -> Json:
        """Of the application, so made once it has all its routes."""
        if self._openapi is None:
            self._openapi = openapi(request.app[OPERATIONS], with_access=self._with_access)
        return self._openapi

    async def _tell_openapi(self, request: web.Request) -> web.Response:
        return web.Response(
            body=orjson.dumps(self._document(request)), content_type="application/json", headers=HEADERS
        )

    async def _tell_page(self, request: web.Request) -> web.Response:
        headers = {**HEADERS, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return web.Response(
            text=page(self._document(request)), content_type="text/html", charset="utf-8", headers=headers
        )

    async def _tell_asyncapi(self, request: web.Request) -> web.Response:
        principal = principal_of(request)
        feeds = [
            (entry, {action for action in Action if principal.may(action, entry.feed.name)})
            for entry in self._catalogue.values()
            if principal.sees(entry.feed.name)
        ]
        # A proxy with TLS before it says so.
        secure = request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
        document = asyncapi(feeds, host=request.host, secure=secure, with_access=self._with_access)
        return web.Response(body=orjson.dumps(document), content_type="application/json", headers=HEADERS)
