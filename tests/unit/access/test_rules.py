"""The table of rules, and the routes that services have."""

from __future__ import annotations

import pytest
from aiohttp import web
from support.gateway import gateway_app

from headrace.access.rules import FEED_PARAMETER, RULES, On, rule_of

FREE = {("GET", path) for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")}


@pytest.fixture
async def gateway() -> web.Application:
    return await gateway_app()


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


def test_only_health_metrics_and_the_description_are_free() -> None:
    assert {route for route, rule in RULES.items() if rule.free} == FREE


def test_a_rule_on_the_feed_in_the_path_finds_it_there() -> None:
    for (_, path), rule in RULES.items():
        if rule.on is On.PATH:
            assert f"{{{FEED_PARAMETER}}}" in path
