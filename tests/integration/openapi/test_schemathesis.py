"""The examples in `/openapi.json` work, and schemathesis, which makes requests of all kinds from it, finds nothing.

schemathesis runs in a process of its own. What it does is the same each time (schemathesis.toml).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from integration.openapi.hooks import OF_OPERATION, PULLED, STREAM
from integration.openapi.stage import Stage
from yarl import URL

from headrace.broker import EmbeddedBroker

HERE = Path(__file__).parent
Json = dict[str, Any]


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    directory = tmp_path_factory.mktemp("openapi")
    with EmbeddedBroker(directory / "broker") as broker:
        stage = Stage(directory, broker.bootstrap_servers)
        try:
            await stage.start()
            yield stage
        finally:
            await stage.stop()


async def test_every_example_works(stage: Stage) -> None:
    document = await stage.call("GET", "/openapi.json")
    answered = 0
    async with aiohttp.ClientSession(stage.gateway.url, headers=stage.credential) as session:
        for method, path, said in _operations(document):
            for media_type, body in _bodies(said):
                headers = {} if media_type is None else {"Content-Type": media_type}
                data = None if body is None else body if isinstance(body, str) else aiohttp.JsonPayload(body)
                async with session.request(method, _url(path, said), data=data, headers=headers) as answer:
                    assert answer.status < 300, (method, path, body, await answer.text())
                    assert str(answer.status) in said["responses"]
                    answered += 1
    assert answered >= len(list(_operations(document)))


async def test_schemathesis_finds_nothing(stage: Stage) -> None:
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).parent / "schemathesis", "--no-color", "--config-file", HERE / "schemathesis.toml"),
        *("run", f"{stage.gateway.url}/openapi.json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HEADRACE_API_KEY": stage.key, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode(errors="replace")


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """All of them, those that end something last."""
    found = [(method, path, said) for path, methods in document["paths"].items() for method, said in methods.items()]
    yield from sorted(found, key=lambda one: one[0] == "delete")


def _bodies(said: Json) -> Iterator[tuple[str | None, Any]]:
    """The examples with their media types; no body where none is taken."""
    if "requestBody" not in said:
        yield None, None
    for media_type, content in said.get("requestBody", {}).get("content", {}).items():
        for example in content.get("examples", {}).values():
            yield media_type, example["value"]


def _url(path: str, said: Json) -> URL:
    query = {}
    for parameter in said.get("parameters", ()):
        example = parameter.get("example")
        if parameter["in"] == "path":
            if example in (PULLED, STREAM):
                example = OF_OPERATION.get(said["operationId"], example)
            path = path.replace(f"{{{parameter['name']}}}", str(example))
        elif parameter["in"] == "query" and example is not None:
            query[parameter["name"]] = str(example)
    return URL(path).with_query(query)
