"""The table of rules, and the routes that services have."""

from __future__ import annotations

import pytest
from aiohttp import web

from headrace.access.access import Access
from headrace.access.rules import FEED_PARAMETER, RULES, On, rule_of
from headrace.consumers.reading import Reading
from headrace.consumers.subscriptions import Subscriptions
from headrace.durable.streams import Streams
from headrace.http.service import Part, build_app
from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import GatewaySettings

FREE = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}


@pytest.fixture
async def gateway() -> web.Application:
    settings = GatewaySettings(access="keys")
    catalogue = load_catalogue(settings)
    streams = Streams(settings)
    reading = Reading(settings, catalogue, streams=streams)
    access = Access(settings)
    ingest = Ingest(settings, catalogue, streams)
    parts: list[Part] = [access, streams, ingest, reading, Subscriptions(settings, reading)]
    app = build_app(parts)
    await access.close()
    return app


async def test_every_route_of_a_gateway_has_a_rule(gateway: web.Application) -> None:
    without = {
        (route.method, route.resource.canonical)
        for route in gateway.router.routes()
        if route.resource is not None and rule_of(route.method, route.resource) is None
    }
    assert not without, "headrace/access/rules.py says who may call what"


async def test_every_rule_is_of_a_route(gateway: web.Application) -> None:
    routes = {(route.method, route.resource.canonical) for route in gateway.router.routes() if route.resource}
    assert set(RULES) <= routes


def test_only_health_and_metrics_are_free() -> None:
    assert {route for route, rule in RULES.items() if rule.free} == FREE


def test_a_rule_on_the_feed_in_the_path_finds_it_there() -> None:
    for (_, path), rule in RULES.items():
        if rule.on is On.PATH:
            assert f"{{{FEED_PARAMETER}}}" in path
