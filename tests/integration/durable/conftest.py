"""Gateways that share one Kafka, and streams on them."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.running import service

from headrace.consumers.reading import Reading
from headrace.durable.streams import Streams
from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import GatewaySettings

FILE_FEED = "shop.orders"


@dataclass(frozen=True)
class Answer:
    """What a gateway answered."""

    status: int
    headers: Any
    body: bytes

    @property
    def offset(self) -> str:
        """`Stream-Next-Offset`."""
        return str(self.headers["Stream-Next-Offset"])


@dataclass
class Gateway:
    """A gateway as a client of streams uses it."""

    url: str
    http: aiohttp.ClientSession
    streams: Streams
    reading: Reading

    def path(self, name: str) -> str:
        return f"{self.url}/v1/stream/{name}"

    async def call(self, method: str, name: str, body: bytes | None = None, query: str = "", **headers: str) -> Answer:
        """Call a stream; an underscore in a header's name stands for a hyphen."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        async with self.http.request(
            method, f"{self.path(name)}?{query}", data=body, headers=named, skip_auto_headers=("Content-Type",)
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def made(self, media_type: str = "text/plain", body: bytes | None = None, **headers: str) -> str:
        """A new stream's name."""
        name = f"s-{uuid.uuid4().hex[:12]}"
        answer = await self.call("PUT", name, body, Content_Type=media_type, **headers)
        assert answer.status == 201, answer.body
        return name

    async def append(self, name: str, body: bytes, **headers: str) -> Answer:
        """Append text, unless the headers say otherwise."""
        return await self.call("POST", name, body, **{"Content_Type": "text/plain", **headers})

    async def read(self, name: str, query: str = "") -> bytes:
        """All of a stream, however many pages it has."""
        body, offset = b"", "-1"
        while True:
            page = await self.call("GET", name, query=f"offset={offset}&{query}")
            assert page.status == 200, page.body
            body, offset = body + page.body, page.offset
            if "Stream-Up-To-Date" in page.headers:
                return body


def producer(epoch: int, seq: int, name: str = "p") -> dict[str, str]:
    """The headers of an idempotent producer."""
    return {"Producer_Id": name, "Producer_Epoch": str(epoch), "Producer_Seq": str(seq)}


StartGateway = Callable[..., contextlib.AbstractAsyncContextManager[Gateway]]


@pytest.fixture(scope="session")
def start_gateway(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> StartGateway:
    """Runs a gateway."""
    feeds: Path = tmp_path_factory.mktemp("durable")
    (feeds / "feeds").mkdir()
    (feeds / "feeds" / f"{FILE_FEED}.toml").write_text('description = "A test."\n', "utf-8")

    @contextlib.asynccontextmanager
    async def running(**settings: Any) -> AsyncIterator[Gateway]:
        chosen = GatewaySettings(
            **{"bootstrap_servers": kafka, "feeds": feeds, "long_poll_s": 1.0, "max_event_bytes": 100_000, **settings}
        )
        catalogue, streams = load_catalogue(chosen), Streams(chosen)
        ingest = Ingest(chosen, catalogue, streams)
        reading = Reading(chosen, catalogue, ingest, streams)
        async with (
            service(streams, ingest, reading) as url,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
        ):
            yield Gateway(url, http, streams, reading)

    return running


@pytest.fixture(scope="session")
async def gateway(start_gateway: StartGateway) -> AsyncIterator[Gateway]:
    """A gateway that all tests use."""
    async with start_gateway() as running:
        yield running


@pytest.fixture(scope="session")
async def other(start_gateway: StartGateway) -> AsyncIterator[Gateway]:
    """Another one, on the same Kafka."""
    async with start_gateway() as running:
        yield running
