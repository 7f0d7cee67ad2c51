"""Fetching the keys of an identity provider, over TLS, in a process with an authority of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from joserfc.jwk import ECKey
from support.certificates import Authority

FETCH = """
import asyncio, sys
from headrace.access.jwks import Jwks

async def main():
    keys = Jwks(sys.argv[1])
    await keys.refresh()
    print(keys.loaded)

asyncio.run(main())
"""
"""A process trusts the authorities that it finds when it begins: `SSL_CERT_FILE`, as OpenSSL reads it."""


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def provider(authority: Authority) -> AsyncIterator[str]:
    """An identity provider; gives its origin."""
    body = orjson.dumps({"keys": [ECKey.generate_key("P-256", {"kid": "one"}).as_dict(private=False)]})

    async def keys(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/jwk-set+json")

    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPFound("/keys")

    app = web.Application()
    app.add_routes([web.get("/keys", keys), web.get("/moved", moved)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.issue("127.0.0.1").server()).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def fetched(url: str, trusted: Authority, directory: Path) -> str:
    """Whether a process that trusts an authority has the keys, and what it logged."""
    (directory / "trusted.pem").write_text(trusted.pem)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", FETCH, url),
        env={**os.environ, "SSL_CERT_FILE": str(directory / "trusted.pem")},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_keys_come_over_tls_of_an_authority_that_is_trusted(
    provider: str, authority: Authority, tmp_path: Path
) -> None:
    assert await fetched(f"{provider}/keys", authority, tmp_path) == "True\n"


async def test_of_an_authority_that_is_not_trusted_they_are_not_taken(provider: str, tmp_path: Path) -> None:
    told = await fetched(f"{provider}/keys", Authority("another"), tmp_path)
    assert "jwks_not_fetched" in told
    assert "certificate verify failed" in told
    assert told.endswith("False\n")


async def test_a_redirect_is_not_followed(provider: str, authority: Authority, tmp_path: Path) -> None:
    told = await fetched(f"{provider}/moved", authority, tmp_path)
    assert "jwks_not_fetched" in told
    assert told.endswith("False\n")
