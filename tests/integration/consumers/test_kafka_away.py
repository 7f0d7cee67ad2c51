from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
import pytest
from support.waiting import until

from headrace.broker import EmbeddedBroker

pytestmark = pytest.mark.faults


async def test_followers_lose_nothing_over_a_restart_and_pulls_are_503_until_it_is_over(
    own_broker: EmbeddedBroker,
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
) -> None:
    servers = own_broker.bootstrap_servers
    feed = make_feed(2, servers=servers)
    write(feed, [b"%d" % n for n in range(100)], servers=servers)
    seen: list[Any] = []

    async def follow(url: str) -> None:
        """As an EventSource: comes again with the last id whenever it is closed."""
        headers: dict[str, str] = {}
        while True:
            try:
                async with http.get(f"{url}/v1/feeds/{feed}/events?live=sse&offset=-1", headers=headers) as answer:
                    while answer.status == 200:
                        block = (await answer.content.readuntil(b"\n\n")).decode()
                        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
                        if "id" in fields:
                            headers["Last-Event-ID"] = fields["id"]
                        if fields.get("event") == "data":
                            seen.extend(event["data"] for event in orjson.loads(fields["data"]))
            except (aiohttp.ClientError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.2)

    async with serve(bootstrap_servers=servers, ring_bytes=2_000, long_poll_s=1) as url:
        following = asyncio.ensure_future(follow(url))
        await until(lambda: len(seen) == 100)
        await asyncio.to_thread(own_broker.stop)
        try:
            async with http.get(f"{url}/v1/feeds/{feed}/events") as answer:
                assert answer.status == 503
                assert int(answer.headers["Retry-After"]) > 0
                assert answer.content_type == "application/problem+json"
            started_s = time.monotonic()
            async with http.get(f"{url}/v1/feeds/flights.enriched/events") as answer:
                assert answer.status == 503
            assert time.monotonic() - started_s < 25
            async with http.get(f"{url}/v1/feeds") as answer:
                assert answer.status == 200
        finally:
            await asyncio.to_thread(own_broker.start)
        write(feed, [b"%d" % n for n in range(100, 200)], servers=servers)
        await until(lambda: len(seen) >= 200, 60)
        assert seen == list(range(200))

        async def pulled() -> bool:
            async with http.get(f"{url}/v1/feeds/{feed}/events") as answer:
                return answer.status == 200 and [e["data"] for e in await answer.json()] == list(range(200))

        await until(pulled)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_service_whose_kafka_is_away_stops_in_time(
    own_broker: EmbeddedBroker,
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
) -> None:
    servers = own_broker.bootstrap_servers
    feed = make_feed(servers=servers)
    write(feed, [b"%d" % n for n in range(100)], servers=servers)
    try:
        async with serve(bootstrap_servers=servers) as url:
            async with http.get(f"{url}/v1/feeds/{feed}/events?offset=now") as answer:
                token = answer.headers["Stream-Next-Offset"]
            async with http.get(f"{url}/v1/feeds/{feed}/events?limit=3") as answer:
                earlier = answer.headers["Stream-Next-Offset"]
            await asyncio.to_thread(own_broker.stop)
            reads = [
                asyncio.ensure_future(http.get(f"{url}/v1/feeds/{feed}/events", params=params))
                for params in ({"offset": earlier, "limit": "9"}, {"offset": token, "live": "long-poll"})
            ]
            await asyncio.sleep(0.5)
            started_s = time.monotonic()
        assert time.monotonic() - started_s < 8
        for read in await asyncio.gather(*reads, return_exceptions=True):
            assert isinstance(read, aiohttp.ClientError) or (
                isinstance(read, aiohttp.ClientResponse) and read.status in (200, 204, 503)
            )
    finally:
        await asyncio.to_thread(own_broker.start)
