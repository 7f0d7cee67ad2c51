"""The official client of Durable Streams (npm `@durable-streams/client`) across kills of the gateway."""

from __future__ import annotations

import asyncio
import uuid
from http import HTTPStatus
from pathlib import Path

import aiohttp
import orjson
import pytest
from faults.services import Service
from support.waiting import until

MESSAGES = 40


async def made(gateway: Service, http: aiohttp.ClientSession) -> str:
    """A new stream's URL."""
    url = f"{gateway.url}/v1/stream/client-{uuid.uuid4().hex[:8]}"
    async with http.put(url, headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == HTTPStatus.CREATED
    return url


async def append(http: aiohttp.ClientSession, url: str, number: int) -> None:
    """Append until that is answered: as a producer whose retries are written once."""
    headers = {"Content-Type": "application/json", "Producer-Id": "p", "Producer-Epoch": "0"}
    while True:
        try:
            async with http.post(url, json=number, headers={**headers, "Producer-Seq": str(number)}) as answer:
                if answer.status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
                    return
                assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE, await answer.text()
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("live", ["true", "long-poll", "sse"])
async def test_it_reads_all_once_and_in_order_while_the_gateway_is_killed(
    gateway: Service, node: Path, live: str
) -> None:
    async with aiohttp.ClientSession() as http:
        url = await made(gateway, http)
        await append(http, url, 0)
        reader = await asyncio.create_subprocess_exec(
            "node", "follow.js", url, live, cwd=node, stdout=asyncio.subprocess.PIPE
        )
        assert reader.stdout is not None
        try:
            async with asyncio.timeout(120):
                read = [orjson.loads(await reader.stdout.readline())]
                for number in range(1, MESSAGES):
                    await append(http, url, number)
                    if number % 15 == 0:
                        read.append(orjson.loads(await reader.stdout.readline()))
                        await gateway.kill()
                await until(lambda: closed(http, url))
                read += [orjson.loads(line) for line in (await reader.stdout.read()).splitlines()]
                assert await reader.wait() == 0
        finally:
            if reader.returncode is None:
                reader.kill()
    assert read == list(range(MESSAGES))


async def closed(http: aiohttp.ClientSession, url: str) -> bool:
    """Close the stream; whether that was answered."""
    try:
        async with http.post(url, headers={"Stream-Closed": "true"}) as answer:
            return answer.status == HTTPStatus.NO_CONTENT
    except aiohttp.ClientConnectionError:
        return False


async def test_its_producer_writes_all_once_and_in_order(gateway: Service, node: Path) -> None:
    async with aiohttp.ClientSession() as http:
        url = await made(gateway, http)
        writer = await asyncio.create_subprocess_exec("node", "write.js", url, "200", cwd=node)
        async with asyncio.timeout(60):
            assert await writer.wait() == 0
        async with http.get(url) as answer:
            assert await answer.json() == list(range(200))
            assert answer.headers["Stream-Closed"] == "true"
