"""What the tests of WebSocket share: a gateway, which writes as well as reads."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from support.running import service

from headrace.consumers.reading import Reading
from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import GatewaySettings

Gateway = Callable[..., contextlib.AbstractAsyncContextManager[str]]


@pytest.fixture
def gateway(kafka: str, feeds: Path) -> Gateway:
    """Runs the writing and the reading API over the test's feeds; gives their URL."""

    @contextlib.asynccontextmanager
    async def running(**settings: Any) -> AsyncIterator[str]:
        chosen = GatewaySettings(**{"bootstrap_servers": kafka, "feeds": feeds, **settings})
        catalogue = load_catalogue(chosen)
        ingest = Ingest(chosen, catalogue)
        async with service(ingest, Reading(chosen, catalogue, ingest)) as url:
            yield url

    return running
