"""Asking an endpoint whether it wants webhooks: CloudEvents' handshake, before the subscription is made."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log


@contextlib.asynccontextmanager
async def agreeing(status: int, headers: Mapping[str, str], asked: list[Mapping[str, str]]) -> AsyncIterator[str]:
    """An endpoint that answers OPTIONS so."""

    async def options(request: web.Request) -> web.Response:
        asked.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(status=status, headers=headers)

    app = web.Application()
    app.router.add_route("OPTIONS", "/hook", options)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def test_an_endpoint_that_agrees_is_registered_with_the_rate_it_grants(api: Api, log: Log) -> None:
    asked: list[Mapping[str, str]] = []
    headers = {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "120"}
    async with agreeing(200, headers, asked) as url:
        created = await api.create(log.feed(), url, verify=True, rate_limit_per_s=5)
    assert asked[0]["webhook-request-origin"] == "headrace.invalid"
    assert asked[0]["webhook-request-rate"] == "300"
    assert created["granted_per_min"] == 120


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (405, {}, "answered 405"),
        (200, {}, "WebHook-Allowed-Origin"),
        (200, {"WebHook-Allowed-Origin": "somebody.else"}, "somebody.else"),
        (200, {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "fast"}, "WebHook-Allowed-Rate"),
    ],
)
async def test_one_that_does_not_agree_is_refused_with_what_it_said(
    api: Api, log: Log, status: int, headers: dict[str, str], says: str
) -> None:
    feed = log.feed()
    async with agreeing(status, headers, []) as url:
        code, problem = await api.call("POST", feed=feed, url=url, name=f"{feed}-v", verify=True)
    assert code == 400
    assert says in problem["detail"]
    assert problem["errors"] == [{"pointer": "/url"}]
    assert (await api.call("GET", f"/{feed}-v"))[0] == 404
