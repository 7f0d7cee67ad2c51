"""Pages of other origins."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

helpers: Any = importlib.import_module("integration.access.conftest")
EVENTS = f"/v1/feeds/{helpers.FEED}/events"
APP = "https://app.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture(scope="module")
async def shared(kafka: str, feeds: Path) -> AsyncIterator[Any]:
    """A gateway whose API pages of one origin may use."""
    async with helpers.running_gateway(kafka, feeds, cors_origins=f"{APP},https://other.example") as gateway:
        yield gateway


async def test_a_preflight_needs_no_key_and_says_what_is_allowed(shared: Any) -> None:
    status, headers, _ = await shared.call("OPTIONS", EVENTS, headers={"Origin": APP, **PREFLIGHT})
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == APP
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    assert "Origin" in headers.getall("Vary")


async def test_a_page_of_another_origin_is_told_nothing(shared: Any) -> None:
    for path, extra in ((EVENTS, PREFLIGHT), (EVENTS, {})):
        _, headers, _ = await shared.call("OPTIONS", path, headers={"Origin": "https://evil.example", **extra})
        assert "Access-Control-Allow-Origin" not in headers
        assert "Origin" in headers.getall("Vary")


async def test_pages_may_read_positions_and_also_why_they_were_refused(shared: Any, keys: Any) -> None:
    status, headers, _ = await shared.call("GET", EVENTS, headers={"Origin": APP})
    assert (status, headers["Access-Control-Allow-Origin"]) == (401, APP)
    for name in (
        "Stream-Next-Offset",
        "Stream-SSE-Data-Encoding",
        "ETag",
        "RateLimit",
        "Retry-After",
        "WWW-Authenticate",
    ):
        assert name in headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in headers


async def test_an_sse_answer_has_the_headers_too(kafka: str, feeds: Path) -> None:
    async with helpers.running_gateway(kafka, feeds, cors_origins="*", access="open") as gateway:
        headers = {"Origin": "https://any.example"}
        await gateway.call("POST", EVENTS, json={"n": 1})
        url = f"{gateway.url}{EVENTS}?offset=-1&live=sse"
        async with gateway.session.get(url, headers=headers) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert answer.headers["Cache-Control"] == "no-cache, no-store"
            assert await answer.content.readuntil(b"event: control")


async def test_without_the_setting_nothing_is_said_of_origins(gateway: Any) -> None:
    _, headers, _ = await gateway.call("GET", EVENTS, headers={"Origin": APP})
    assert not [name for name in headers if name.startswith("Access-Control")]
