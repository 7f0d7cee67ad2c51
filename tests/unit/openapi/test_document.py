"""The OpenAPI document: every route is described, every description is of a route, and the whole is valid."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from openapi_spec_validator import validate
from support.gateway import gateway_app

from headrace.durable.streams import Streams
from headrace.http.service import OPERATIONS, Part, build_app
from headrace.openapi.document import openapi
from headrace.openapi.documentation import Documentation
from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import IngestSettings


@pytest.fixture
async def gateway() -> web.Application:
    return await gateway_app()


@pytest.fixture
def document(gateway: web.Application) -> Any:
    return openapi(gateway[OPERATIONS], with_access=True)


def routes(app: web.Application) -> set[tuple[str, str]]:
    """The routes of an application; that HEAD is answered as GET is, without the body, needs no words."""
    found = {
        (route.method, route.resource.canonical): route.handler
        for route in app.router.routes()
        if route.resource is not None
    }
    return {
        (method, path) for (method, path), handler in found.items() if method != "HEAD" or found["GET", path] != handler
    }


async def test_every_route_is_described_and_nothing_else(gateway: web.Application) -> None:
    described = [(operation.method, operation.path) for operation in gateway[OPERATIONS]]
    assert set(described) == routes(gateway), "write an Operation beside the group of the route"
    assert len(set(described)) == len(described)


@pytest.mark.parametrize("with_streams", [False, True])
async def test_the_writing_half_describes_what_it_has(with_streams: bool) -> None:
    settings = IngestSettings()
    catalogue = load_catalogue(settings)
    streams = Streams(settings) if with_streams else None
    parts: list[Part] = [Ingest(settings, catalogue, streams), Documentation(settings, catalogue)]
    app = build_app(parts)
    assert {(operation.method, operation.path) for operation in app[OPERATIONS]} == routes(app)
    validate(openapi(app[OPERATIONS], with_access=False))


async def test_the_document_is_valid(document: Any) -> None:
    validate(document)


async def test_where_access_is_open_nothing_is_said_of_keys() -> None:
    app = await gateway_app(access="open")
    document = openapi(app[OPERATIONS], with_access=False)
    validate(document)
    assert "securitySchemes" not in document["components"]
    for _, said in operations(document):
        assert "security" not in said
        assert not {"401", "429"} & set(said["responses"])
        assert "scope" not in said["responses"].get("403", {}).get("description", "")


async def test_scopes_are_those_of_the_rules(document: Any) -> None:
    paths = document["paths"]
    read = paths["/v1/feeds/{feed}/events"]["get"]
    assert read["security"] == [{name: ["read:{feed}"]} for name in ("bearer", "key", "browser")]
    write = paths["/v1/feeds/{feed}/events"]["post"]
    assert write["security"] == [{name: ["publish:{feed}"]} for name in ("bearer", "key")]
    assert paths["/healthz"]["get"]["security"] == []


async def test_both_urls_of_a_feeds_events_have_the_same_said_of_them(document: Any) -> None:
    events, stream = (document["paths"][path] for path in ("/v1/feeds/{feed}/events", "/v1/stream/{feed}"))
    assert set(events) == set(stream) == {"get", "head", "post", "put", "delete"}
    for method, said in stream.items():
        other = events[method]
        assert said["responses"] == other["responses"]
        assert said["security"] == other["security"]
        names, others = ([parameter["name"] for parameter in one["parameters"]] for one in (said, other))
        assert names == others


async def test_a_refusal_of_the_route_stands_beside_that_of_access(document: Any) -> None:
    refused = document["paths"]["/v1/stream/{feed}"]["post"]["responses"]["403"]
    assert "`publish:{feed}`" in refused["description"]
    assert "higher epoch" in refused["description"]
    assert set(refused["headers"]) == {"Producer-Epoch"}


async def test_every_problem_is_told_as_one(document: Any) -> None:
    for place, said in operations(document):
        for status, answer in said["responses"].items():
            if int(status) >= 400 and place != ("get", "/readyz"):
                assert list(answer["content"]) == ["application/problem+json"], (place, status)


async def test_names_are_unique_and_everything_has_a_description(document: Any) -> None:
    names = [said["operationId"] for _, said in operations(document)]
    assert len(set(names)) == len(names)
    for place, said in operations(document):
        assert all(answer["description"] for answer in said["responses"].values()), place
        assert all(parameter["description"] for parameter in said.get("parameters", ())), place


async def test_the_limits_are_those_of_the_settings() -> None:
    app = await gateway_app(page_events=7, max_page_events=70)
    document = openapi(app[OPERATIONS], with_access=True)
    parameters = document["paths"]["/v1/feeds/{feed}/events"]["get"]["parameters"]
    (limit,) = (parameter["schema"] for parameter in parameters if parameter["name"] == "limit")
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 70, 7)


def operations(document: Any) -> list[tuple[tuple[str, str], Any]]:
    return [((method, path), said) for path, methods in document["paths"].items() for method, said in methods.items()]
