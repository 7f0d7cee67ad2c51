"""A real nginx in front of the gateway, configured as the documentation says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from support.nginx import caching, found_nginx
from support.waiting import until

from headrace import metrics

CLIENTS = 1000


def answered() -> float:
    """Requests for events that the gateway has answered."""
    return sum(
        sample.value
        for metric in metrics.http_requests.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["route"].endswith("/events")
    )


async def test_1000_clients_that_long_poll_are_few_requests_and_an_empty_answer_is_never_kept(
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
    tmp_path: Path,
) -> None:
    found_nginx()
    feed = make_feed()
    write(feed, [b"1"])

    def waiting() -> float:
        return float(metrics.followers.labels(feed, "long-poll")._value.get())

    async with serve(long_poll_s=30) as url, caching(url, tmp_path) as proxy:
        async with http.get(f"{proxy}/v1/feeds/{feed}/events?offset=-1") as answer:
            query = {"live": "long-poll", "offset": answer.headers["Stream-Next-Offset"]}
        before = answered()

        async def poll() -> tuple[list[Any], str, str]:
            async with http.get(f"{proxy}/v1/feeds/{feed}/events", params=query) as answer:
                assert answer.status == 200
                values = [event["data"] for event in await answer.json()]
                return values, answer.headers["Stream-Next-Offset"], answer.headers["Stream-Cursor"]

        for turn in (2, 3):
            polls = [asyncio.ensure_future(poll()) for _ in range(CLIENTS)]
            await until(lambda: waiting() == 1)
            write(feed, [b"%d" % turn])
            answers = await asyncio.gather(*polls)
            assert all(values == [turn] for values, _, _ in answers)
            _, query["offset"], query["cursor"] = answers[0]
        assert answered() - before <= 10

    async with serve(long_poll_s=0.2) as url, caching(url, tmp_path) as proxy:
        for _ in range(3):
            async with http.get(f"{proxy}/v1/feeds/{feed}/events", params=query) as answer:
                assert answer.status == 204
                assert answer.headers["X-Cache"] == "MISS"


async def test_pages_of_the_past_come_from_the_cache_and_the_newest_one_never(
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
    tmp_path: Path,
) -> None:
    found_nginx()
    feed = make_feed()
    write(feed, [b"%d" % n for n in range(25)])
    async with serve() as url, caching(url, tmp_path) as proxy:

        async def read() -> tuple[list[Any], list[str]]:
            offset, seen, caches = "-1", [], []
            while True:
                query = {"offset": offset, "limit": "10"}
                async with http.get(f"{proxy}/v1/feeds/{feed}/events", params=query) as answer:
                    seen += [event["data"] for event in await answer.json()]
                    caches.append(answer.headers["X-Cache"])
                    offset = answer.headers["Stream-Next-Offset"]
                    if "Stream-Up-To-Date" in answer.headers:
                        return seen, caches

        assert await read() == (list(range(25)), ["MISS"] * 3)
        write(feed, [b"25"])
        assert await read() == (list(range(26)), ["HIT", "HIT", "MISS"])
        # What is kept in one form is not given to those who want another.
        headers = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity"}
        query = {"offset": "-1", "limit": "10"}
        async with http.get(f"{proxy}/v1/feeds/{feed}/events", params=query, headers=headers) as answer:
            assert answer.headers["X-Cache"] == "MISS"
            assert len((await answer.text()).splitlines()) == 10


async def test_streams_pass_through_at_once_side_by_side(
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
    tmp_path: Path,
) -> None:
    found_nginx()
    feed = make_feed()

    async with serve() as url, caching(url, tmp_path) as proxy:

        async def follow(query: dict[str, str]) -> bytes:
            headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
            async with http.get(f"{proxy}/v1/feeds/{feed}/events", params=query, headers=headers) as answer:
                assert answer.content_type == "text/event-stream"
                assert answer.headers["X-Cache"] == "BYPASS"
                seen = b""
                while b'"data":1' not in seen:
                    seen += await answer.content.readany()
                return seen

        queries: list[dict[str, str]] = [{"live": "sse", "offset": "-1"}, {}]
        streams = [asyncio.ensure_future(follow(query)) for query in queries for _ in range(5)]
        await until(lambda: metrics.followers.labels(feed, "sse")._value.get() == 10)
        write(feed, [b"1"])
        async with asyncio.timeout(10):
            await asyncio.gather(*streams)
