"""What is open ends with what it was opened with: a key that is revoked, a token that expires."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from support.waiting import until

helpers: Any = importlib.import_module("integration.access.conftest")
FEED, OTHER = helpers.FEED, helpers.OTHER
EVENTS = f"/v1/feeds/{FEED}/events"
SSE = f"{EVENTS}?offset=now&live=sse"
LONG_POLL = f"{EVENTS}?offset=now&live=long-poll"
ISSUER, AUDIENCE = "https://idp.example", "headrace"
EC = ECKey.generate_key("P-256", {"kid": "one"})


async def ready(gateway: Any, *keys: str) -> None:
    """Wait until a gateway has heard of keys, and the feed is there."""
    for key in keys:

        async def known(key: str = key) -> bool:
            return bool((await gateway.call("GET", EVENTS, key))[0] == 200)

        await until(known)


async def begun(answer: aiohttp.ClientResponse) -> None:
    """Wait until an SSE answer has said where it stands."""
    assert answer.status == 200
    assert await answer.content.readuntil(b"event: control")


async def test_revoking_a_key_closes_what_it_has_opened_within_a_second_and_nothing_else(
    gateway: Any, keys: Any
) -> None:
    key, other = await keys.make("read:shop.*"), await keys.make("read:shop.*")
    await ready(gateway, key, other)
    async with gateway.open(SSE, key) as revoked, gateway.open(SSE, other) as stays:
        await begun(revoked)
        await begun(stays)
        poll = asyncio.ensure_future(gateway.call("GET", LONG_POLL, key))
        await until(lambda: len(poll.get_stack()) > 0)

        await keys.revoke(key)
        started_s = time.monotonic()
        await revoked.content.read()
        status, _, body = await poll
        assert time.monotonic() - started_s < 1.0
        assert status == 401
        assert "revoked" in body["detail"]
        assert (await gateway.call("GET", EVENTS, key))[0] == 401

        writer = await keys.make(f"publish:{FEED}", f"read:{FEED}")
        await ready(gateway, writer)
        await gateway.call("POST", EVENTS, writer, json={"n": "still there"})
        assert await stays.content.readuntil(b"still there")


async def test_a_key_that_expires_closes_its_streams(gateway: Any, keys: Any) -> None:
    key = await keys.make("read:shop.*", expires_in_s=3)
    await ready(gateway, key)
    async with gateway.open(SSE, key) as stream:
        await begun(stream)
        await asyncio.wait_for(stream.content.read(), 6)
    assert (await gateway.call("GET", EVENTS, key))[0] == 401


async def test_a_browser_token_reads_as_eventsource_does_and_ends_with_its_time(gateway: Any, keys: Any) -> None:
    key = await keys.make("read:shop.*", "publish:shop.*")
    await ready(gateway, key)
    status, headers, made = await gateway.call("POST", "/v1/tokens", key, json={"scopes": [f"read:{FEED}"], "ttl_s": 2})
    assert (status, headers["Cache-Control"]) == (201, "no-store")
    token = made["token"]
    assert (await gateway.call("GET", f"/v1/feeds/{OTHER}/events?access_token={token}"))[0] == 403
    assert (await gateway.call("POST", f"{EVENTS}?access_token={token}", json={"n": 1}))[0] == 403
    async with gateway.open(f"{SSE}&access_token={token}") as stream:
        await begun(stream)
        await gateway.call("POST", EVENTS, key, json={"n": "for the browser"})
        assert await stream.content.readuntil(b"for the browser")
        await asyncio.wait_for(stream.content.read(), 6)
    status, _, body = await gateway.call("GET", f"{EVENTS}?access_token={token}")
    assert (status, "expired" in body["detail"]) == (401, True)


async def test_revoking_a_key_ends_the_tokens_that_were_made_with_it(gateway: Any, keys: Any) -> None:
    key = await keys.make("read:shop.*")
    await ready(gateway, key)
    _, _, made = await gateway.call("POST", "/v1/tokens", key, json={"scopes": ["read:shop.*"], "ttl_s": 600})
    async with gateway.open(f"{SSE}&access_token={made['token']}") as stream:
        await begun(stream)
        await keys.revoke(key)
        await asyncio.wait_for(stream.content.read(), 2)
    assert (await gateway.call("GET", f"{EVENTS}?access_token={made['token']}"))[0] == 401


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (["read:shop.orders"], 201),
        (["read:*"], 403),
        (["read:bank.accounts"], 403),
        (["publish:shop.orders"], 400),
        (["admin:shop.orders"], 400),
        (["nonsense"], 400),
        ([], 400),
    ],
)
async def test_a_browser_token_has_no_more_scopes_than_its_maker(
    gateway: Any, keys: Any, scopes: list[str], status: int
) -> None:
    key = await keys.make("read:shop.*", "publish:shop.*")
    await ready(gateway, key)
    assert (await gateway.call("POST", "/v1/tokens", key, json={"scopes": scopes}))[0] == status


async def test_a_browser_token_makes_no_others_and_lives_no_longer_than_an_hour(gateway: Any, keys: Any) -> None:
    key = await keys.make("read:shop.*")
    await ready(gateway, key)
    wanted = {"scopes": ["read:shop.*"]}
    _, _, made = await gateway.call("POST", "/v1/tokens", key, json=wanted)
    assert (await gateway.call("POST", "/v1/tokens", made["token"], json=wanted))[0] == 403
    assert (await gateway.call("POST", "/v1/tokens", key, json={**wanted, "ttl_s": 3601}))[0] == 400


async def test_a_token_in_the_query_gets_neither_into_logs_nor_metrics(
    gateway: Any, keys: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    key = await keys.make("subscribe:shop.*", "read:shop.*")
    await ready(gateway, key)
    _, _, made = await gateway.call("POST", "/v1/tokens", key, json={"scopes": ["read:shop.*", "subscribe:shop.*"]})
    query = f"access_token={made['token']}"
    # A list of subscriptions refuses parameters that it does not know: it never sees this one.
    assert (await gateway.call("GET", f"/v1/subscriptions?{query}"))[0] == 200
    assert (await gateway.call("GET", f"{EVENTS}?{query}&offset=nonsense"))[0] == 400
    async with gateway.session.get(f"{gateway.url}/metrics") as answer:
        assert made["token"] not in await answer.text()
    said = capfd.readouterr()
    assert made["token"] not in said.out + said.err


async def test_a_jwt_reads_until_it_expires(kafka: str, feeds: Path, tmp_path: Path) -> None:
    key_set = tmp_path / "jwks.json"
    key_set.write_text(json.dumps({"keys": [EC.as_dict(private=False)]}), "utf-8")
    settings = {"jwks_url": str(key_set), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with helpers.running_gateway(kafka, feeds, **settings) as gateway:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "me", "scope": "openid read:shop.*"}
        live = jwt.encode({"alg": "ES256", "kid": "one"}, {**claims, "exp": int(time.time()) + 3}, EC)
        assert (await gateway.call("GET", EVENTS, live))[0] == 200
        assert (await gateway.call("GET", f"/v1/feeds/{OTHER}/events", live))[0] == 403
        assert (await gateway.call("GET", EVENTS, live[:-4] + "AAAA"))[0] == 401
        async with gateway.open(SSE, live) as stream:
            await begun(stream)
            await asyncio.wait_for(stream.content.read(), 6)
        assert (await gateway.call("GET", EVENTS, live))[0] == 401


async def test_without_a_provider_jwts_are_not_taken(gateway: Any) -> None:
    text = jwt.encode({"alg": "ES256", "kid": "one"}, {"exp": int(time.time()) + 60}, EC)
    status, _, body = await gateway.call("GET", EVENTS, text)
    assert (status, "not taken here" in body["detail"]) == (401, True)
