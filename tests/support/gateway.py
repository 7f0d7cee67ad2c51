"""The application of a gateway, put together and not started: for what is to be asked of its routes."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from headrace.access.access import Access
from headrace.consumers.reading import Reading
from headrace.consumers.subscriptions import Subscriptions
from headrace.durable.streams import Streams
from headrace.http.service import Part, build_app
from headrace.openapi.documentation import Documentation
from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import GatewaySettings


async def gateway_app(**settings: Any) -> web.Application:
    """All the routes that a gateway may have, by default those where access is by keys."""
    chosen = GatewaySettings(**{"access": "keys", **settings})
    catalogue = load_catalogue(chosen)
    streams = Streams(chosen)
    reading = Reading(chosen, catalogue, streams=streams)
    parts: list[Part] = [
        streams,
        Ingest(chosen, catalogue, streams),
        reading,
        Subscriptions(chosen, reading),
        Documentation(chosen, catalogue),
    ]
    if chosen.access == "open":
        return build_app(parts)
    access = Access(chosen)
    app = build_app([access, *parts])
    await access.close()
    return app
