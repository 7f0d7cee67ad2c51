"""A gateway whose access is by keys, keys for it, and feeds that only some of them may use."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from headrace.access.api_key import ApiKey, digest, new_key_text, split
from headrace.access.key_store import KeyStore
from headrace.access.parts import access_parts
from headrace.access.quotas import Quotas
from headrace.access.scopes import parse_scopes
from headrace.consumers.reading import Reading
from headrace.consumers.subscriptions import Subscriptions
from headrace.durable.streams import Streams
from headrace.http.service import serving
from headrace.openapi.documentation import Documentation
from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import GatewaySettings

FEED, OTHER = "shop.orders", "bank.accounts"
MakeKey = Callable[..., Awaitable[str]]


@dataclass
class Gateway:
    """A gateway as somebody uses it, with a key or without."""

    url: str
    session: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, key: str | None = None, *, json: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, Any]:
        """Status, headers and body of an answer."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        async with self.session.request(method, self.url + path, json=json, headers=sent) as answer:
            body = await answer.read()
            return answer.status, answer.headers, await answer.json(content_type=None) if body else None

    @contextlib.asynccontextmanager
    async def open(self, path: str, key: str | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer whose body has not been read."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with self.session.get(self.url + path, headers=headers) as answer:
            yield answer


@dataclass
class Keys:
    """Makes and revokes keys as `headrace keys` does."""

    kafka: str
    made: list[str] = field(default_factory=list)

    async def make(self, *scopes: str, expires_in_s: float | None = None, **quotas: Any) -> str:
        """A new key."""
        text = new_key_text()
        parts = split(text)
        assert parts is not None
        expires_s = None if expires_in_s is None else time.time() + expires_in_s
        key = ApiKey(
            parts[0], digest(parts[1]), "test", parse_scopes(scopes), time.time(), "", expires_s, Quotas(**quotas)
        )
        async with KeyStore({"bootstrap.servers": self.kafka}) as store:
            await store.add(key)
        return text

    async def revoke(self, text: str) -> None:
        """Revoke a key."""
        parts = split(text)
        assert parts is not None
        async with KeyStore({"bootstrap.servers": self.kafka}) as store:
            assert await store.revoke(parts[0]) is not None


@pytest.fixture(scope="session")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("access")
    (directory / "feeds").mkdir()
    for name in (FEED, OTHER):
        (directory / "feeds" / f"{name}.toml").write_text('description = "A test."\npartitions = 1\n', "utf-8")
    return directory


@pytest.fixture(scope="session")
def keys(kafka: str) -> Keys:
    return Keys(kafka)


@contextlib.asynccontextmanager
async def running_gateway(kafka: str, feeds: Path, **settings: Any) -> AsyncIterator[Gateway]:
    """A gateway in this process."""
    chosen = GatewaySettings(
        **{"bootstrap_servers": kafka, "feeds": feeds, "access": "keys", "webhook_allow": "127.0.0.0/8", **settings}
    )
    catalogue = load_catalogue(chosen)
    streams = Streams(chosen)
    ingest = Ingest(chosen, catalogue, streams)
    reading = Reading(chosen, catalogue, ingest, streams)
    subscriptions = Subscriptions(chosen, reading)
    parts = [*access_parts(chosen), streams, ingest, reading, subscriptions, Documentation(chosen, catalogue)]
    async with (
        serving(parts, host="127.0.0.1", port=0, drain_s=2.0) as port,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
    ):
        yield Gateway(f"http://127.0.0.1:{port}", session)


@pytest.fixture(scope="session")
async def gateway(kafka: str, feeds: Path) -> AsyncIterator[Gateway]:
    async with running_gateway(kafka, feeds) as running:
        yield running
