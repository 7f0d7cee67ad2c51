"""Who may call what: each class of routes, allowed and refused."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from support.waiting import until

from headrace.access.rules import RULES

helpers: Any = importlib.import_module("integration.access.conftest")
FEED, OTHER = helpers.FEED, helpers.OTHER
EVENTS = f"/v1/feeds/{FEED}/events"
KNOWN = [route for route, rule in RULES.items() if not rule.free]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
async def test_health_metrics_and_the_description_of_the_api_are_free(gateway: Any, path: str) -> None:
    async with gateway.open(path) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(("method", "path"), KNOWN)
async def test_nothing_else_is_answered_without_a_key(gateway: Any, method: str, path: str) -> None:
    status, headers, body = await gateway.call(method, path.format(feed=FEED, id="any", name="any"))
    assert status == 401
    assert headers["WWW-Authenticate"] == 'Bearer realm="headrace"'
    assert "headrace keys create" in body["detail"]


async def test_what_does_not_exist_is_told_only_to_who_has_a_key(gateway: Any, keys: Any) -> None:
    key = await keys.make("read:x")
    await until(lambda: _taken(gateway, key))
    assert (await gateway.call("GET", "/v1/nothing"))[0] == 401
    assert (await gateway.call("GET", "/v1/nothing", key))[0] == 404
    assert (await gateway.call("PATCH", EVENTS, key))[0] == 405


async def test_which_methods_a_free_route_has_is_free_to_know(gateway: Any) -> None:
    status, headers, _ = await gateway.call("POST", "/healthz")
    assert (status, headers["Allow"]) == (405, "GET,HEAD")
    assert (await gateway.call("PUT", EVENTS))[0] == 401


async def test_a_key_does_what_its_scopes_say_and_nothing_else(gateway: Any, keys: Any) -> None:
    reader, writer = await keys.make("read:shop.*"), await keys.make(f"publish:{FEED}")
    await until(lambda: _taken(gateway, writer))

    assert (await gateway.call("POST", EVENTS, writer, json={"n": 1}))[0] == 200
    status, headers, body = await gateway.call("POST", EVENTS, reader, json={"n": 1})
    assert status == 403
    assert body["missing_scopes"] == [f"publish:{FEED}"]
    assert f'scope="publish:{FEED}"' in headers["WWW-Authenticate"]

    assert (await gateway.call("GET", EVENTS, reader))[0] == 200
    assert (await gateway.call("GET", f"/v1/feeds/{FEED}", reader))[0] == 200
    assert (await gateway.call("GET", EVENTS, writer))[0] == 403
    assert (await gateway.call("GET", f"/v1/feeds/{OTHER}/events", reader))[0] == 403
    assert (await gateway.call("GET", "/v1/subscriptions", reader))[0] == 403


async def test_lists_show_what_a_key_may_use(gateway: Any, keys: Any) -> None:
    key = await keys.make("subscribe:shop.*")
    await until(lambda: _taken(gateway, key))
    _, _, body = await gateway.call("GET", "/v1/feeds", key)
    assert [feed["name"] for feed in body["feeds"] if not feed["name"].endswith(".dead")] == [FEED]


async def test_the_description_of_feeds_shows_those_that_a_key_may_use(gateway: Any, keys: Any) -> None:
    key = await keys.make("read:shop.*")
    await until(lambda: _taken(gateway, key))
    status, _, body = await gateway.call("GET", "/asyncapi.json", key)
    assert status == 200
    assert set(body["channels"]) == {FEED, f"{FEED}.dead"}
    assert set(body["operations"]) == {f"{FEED}.read", f"{FEED}.dead.read"}


async def test_a_subscription_is_seen_and_changed_only_by_who_may_subscribe_to_its_feed(
    gateway: Any, keys: Any
) -> None:
    shop, bank = await keys.make("subscribe:shop.*"), await keys.make("subscribe:bank.*")
    writer = await keys.make(f"publish:{FEED}")
    await until(lambda: _taken(gateway, writer))
    assert (await gateway.call("POST", EVENTS, writer, json={"n": 1}))[0] == 200

    wanted = {"feed": FEED, "url": "http://127.0.0.1:9/", "name": "of-the-shop"}
    status, _, body = await gateway.call("POST", "/v1/subscriptions", bank, json=wanted)
    assert (status, body["missing_scopes"]) == (403, [f"subscribe:{FEED}"])
    assert (await gateway.call("POST", "/v1/subscriptions", shop, json=wanted))[0] == 201

    for method, path in KNOWN:
        if "{id}" in path:
            status, _, body = await gateway.call(method, path.format(id="of-the-shop", name="any"), bank, json={})
            assert (status, body["missing_scopes"]) == (403, [f"subscribe:{FEED}"]), (method, path)
    assert (await gateway.call("GET", "/v1/subscriptions", bank))[2]["subscriptions"] == []
    (seen,) = (await gateway.call("GET", "/v1/subscriptions", shop))[2]["subscriptions"]
    assert seen["id"] == "of-the-shop"
    assert (await gateway.call("DELETE", "/v1/subscriptions/of-the-shop", shop))[0] == 204


async def test_a_key_is_taken_in_either_header_but_not_twice_and_not_in_the_query(gateway: Any, keys: Any) -> None:
    key = await keys.make("read:*")
    await until(lambda: _taken(gateway, key))
    assert (await gateway.call("GET", "/v1/feeds", headers={"X-API-Key": key}))[0] == 200
    status, _, body = await gateway.call("GET", "/v1/feeds", key, headers={"X-API-Key": key})
    assert (status, "send one" in body["detail"]) == (401, True)
    status, _, body = await gateway.call("GET", f"/v1/feeds?access_token={key}")
    assert (status, "POST /v1/tokens" in body["detail"]) == (401, True)
    basic = {"Authorization": "Basic bWU6bWU="}
    assert (await gateway.call("GET", "/v1/feeds", headers=basic))[0] == 401


async def test_a_key_with_another_secret_or_past_its_time_is_refused(gateway: Any, keys: Any) -> None:
    key, expired = await keys.make("read:*"), await keys.make("read:*", expires_in_s=-1)
    await until(lambda: _taken(gateway, key))
    assert (await gateway.call("GET", "/v1/feeds", key[:-8] + "AAAAAAAA"))[0] == 401
    status, _, body = await gateway.call("GET", "/v1/feeds", expired)
    assert (status, body["detail"]) == (401, "The key has expired.")


async def test_what_was_read_with_a_key_is_not_kept_for_others(gateway: Any, keys: Any) -> None:
    key = await keys.make(f"publish:{FEED}", f"read:{FEED}")
    await until(lambda: _taken(gateway, key))
    await gateway.call("POST", EVENTS, key, json={"n": 1})
    _, headers, _ = await gateway.call("GET", f"{EVENTS}?limit=1", key)
    assert headers["Cache-Control"].startswith("private, max-age=")


async def test_a_relay_takes_calls_of_gateways_only(kafka: str, feeds: Path, gateway: Any, keys: Any) -> None:
    relays: Any = importlib.import_module("integration.access.relays")
    key = await keys.make("admin:*")
    await until(lambda: _taken(gateway, key))
    await gateway.call("POST", EVENTS, key, json={"n": 1})
    async with relays.running_relay(kafka, feeds) as address:
        wanted = {"feed": FEED, "url": "http://127.0.0.1:9/", "name": "by-a-relay"}
        assert (await gateway.call("POST", "/v1/subscriptions", key, json=wanted))[0] == 201

        async def owner() -> str | None:
            status = (await gateway.call("GET", "/v1/subscriptions/by-a-relay", key))[2]["status"]
            return None if status is None else str(status["owner"])

        assert await until(owner) == address
        for headers in ({}, {"Authorization": f"Bearer {key}"}, {"Authorization": "Bearer hri_a.b.c"}):
            url = f"http://{address}/v1/subscriptions/by-a-relay"
            async with gateway.session.get(url, headers=headers) as answer:
                assert answer.status == 401
        async with gateway.session.get(f"http://{address}/metrics") as answer:
            assert answer.status == 200
        assert (await gateway.call("DELETE", "/v1/subscriptions/by-a-relay", key))[0] == 204


async def _taken(gateway: Any, key: str) -> bool:
    return bool((await gateway.call("GET", "/v1/feeds", key))[0] == 200)
