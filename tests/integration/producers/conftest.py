"""A writing API over real HTTP and a real Kafka, with feeds of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from support.running import service
from support.writer import Writer, write_feeds

from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import IngestSettings


@pytest.fixture(scope="module")
async def writer(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Writer]:
    directory = tmp_path_factory.mktemp("ingest")
    feeds = write_feeds(directory)
    settings = IngestSettings(
        bootstrap_servers=kafka, feeds=directory, max_body_bytes=2_000_000, max_event_bytes=100_000
    )
    catalogue = load_catalogue(settings)
    async with service(Ingest(settings, catalogue)) as url, aiohttp.ClientSession() as http:
        yield Writer(url, feeds, catalogue, http, kafka)
