from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support.waiting import until


def data(events: list[dict[str, Any]]) -> list[Any]:
    return [event["data"] for event in events]


async def test_pages_lead_to_the_tail_with_every_event_once(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(2)
    async with serve(ring_bytes=3_000) as url:
        write(feed, [b"%d" % n for n in range(40)], partition=0)
        await http.get(f"{url}/v1/feeds/{feed}/events")
        write(feed, [b"%d" % n for n in range(40)], partition=1)
        offset, seen, pages = "-1", [], 0
        while True:
            async with http.get(f"{url}/v1/feeds/{feed}/events", params={"offset": offset, "limit": 7}) as answer:
                assert answer.status == 200
                assert answer.content_type == "application/json"
                page = await answer.json()
                assert len(page) <= 7
                seen += page
                pages += 1
                assert answer.headers["Stream-Next-Offset"] > offset or not page
                offset = answer.headers["Stream-Next-Offset"]
                assert answer.headers["Cache-Control"] == (
                    "public, max-age=60, stale-while-revalidate=300" if len(page) == 7 else "no-cache"
                )
                assert answer.headers["Vary"] == "Accept, Accept-Encoding"
                if len(page) < 7:
                    assert answer.headers["Stream-Up-To-Date"] == "true"
                    break
        assert pages == 12
        for partition in (0, 1):
            assert data([e for e in seen if e["partition"] == partition]) == list(range(40))
        assert len({e["id"] for e in seen}) == 80


async def test_a_page_that_is_not_full_holds_the_callers_own_write(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    async with serve() as url:
        offset = "-1"
        for number in range(20):
            await asyncio.to_thread(write, feed, [b"%d" % number])
            async with http.get(f"{url}/v1/feeds/{feed}/events", params={"offset": offset}) as answer:
                assert data(await answer.json()) == [number]
                offset = answer.headers["Stream-Next-Offset"]


async def test_ndjson_has_an_event_in_each_line(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [b'{"a":\n1}', b'"two\\nlines"'])
    async with serve() as url:
        async with http.get(f"{url}/v1/feeds/{feed}/events", headers={"Accept": "application/x-ndjson"}) as answer:
            assert answer.content_type == "application/x-ndjson"
            lines = (await answer.read()).splitlines()
        assert data([orjson.loads(line) for line in lines]) == [{"a": 1}, "two\nlines"]


async def test_from_a_time_nothing_older_comes_and_nothing_newer_is_missed(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(3)
    async with serve() as url:

        async def pull(**params: str) -> tuple[list[dict[str, Any]], str]:
            async with http.get(f"{url}/v1/feeds/{feed}/events", params=params) as answer:
                assert answer.headers["Cache-Control"] == "no-cache"
                return await answer.json(), answer.headers["Stream-Next-Offset"]

        for number in range(6):
            write(feed, [b"%d" % number], partition=number % 3)
            await asyncio.sleep(0.003)  # so that no two have one timestamp
        events, end = await pull()
        times = {event["data"]: event["time"] for event in events}
        for number in range(6):
            assert sorted(data((await pull(**{"from": times[number]}))[0])) == list(range(number, 6))
        later = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        assert await pull(**{"from": later}) == ([], end)
        assert sorted(data((await pull(**{"from": "1969-12-31T23:59:59.999Z"}))[0])) == list(range(6))


async def test_now_is_the_tail_and_never_kept_by_a_cache(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with serve() as url:
        async with http.get(f"{url}/v1/feeds/{feed}/events?offset=now") as answer:
            assert await answer.json() == []
            assert answer.headers["Cache-Control"] == "no-store"
            assert "ETag" not in answer.headers
            offset = answer.headers["Stream-Next-Offset"]
        write(feed, [b"2"])
        async with http.get(f"{url}/v1/feeds/{feed}/events", params={"offset": offset}) as answer:
            assert data(await answer.json()) == [2]


async def test_an_unchanged_page_is_304_and_a_grown_one_is_not(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with serve() as url:
        target = f"{url}/v1/feeds/{feed}/events?offset=-1"
        async with http.get(target) as answer:
            etag = answer.headers["ETag"]
            offset = answer.headers["Stream-Next-Offset"]
        for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            async with http.get(target, headers={"If-None-Match": condition}) as answer:
                assert answer.status == 304
                assert await answer.read() == b""
                assert answer.headers["ETag"] == etag
                assert answer.headers["Stream-Next-Offset"] == offset
        for headers in ({"If-None-Match": '"other"'}, {"If-None-Match": etag, "Accept": "application/x-ndjson"}):
            async with http.get(target, headers=headers) as answer:
                assert answer.status == 200
        write(feed, [b"2"])
        async with http.get(target, headers={"If-None-Match": etag}) as answer:
            assert answer.status == 200
            assert data(await answer.json()) == [1, 2]


@pytest.mark.parametrize("live", ["", "&live=long-poll", "&live=sse"])
async def test_what_is_wrong_is_told_as_problem_details(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], live: str
) -> None:
    feed, other = make_feed(), make_feed()
    async with serve() as url:

        async def status_of(query: str, name: str = feed, **headers: str) -> tuple[int, str]:
            async with http.get(f"{url}/v1/feeds/{name}/events?{query}{live}", headers=headers) as answer:
                assert answer.content_type == "application/problem+json"
                assert answer.headers["Cache-Control"] == "no-store"
                return answer.status, (await answer.json())["detail"]

        async with http.get(f"{url}/v1/feeds/{other}/events?offset=now") as answer:
            foreign = answer.headers["Stream-Next-Offset"]
        assert (await status_of("offset=nonsense"))[0] == 400
        assert (await status_of(f"offset={foreign[:-5]}"))[0] == 400
        status, detail = await status_of(f"offset={foreign}")
        assert (status, "another feed" in detail) == (400, True)
        assert (await status_of("offset=-1", name="no.such.feed"))[0] == 404
        assert (await status_of("offset=-1", name=f"{feed}.dead"))[0] == 404
        assert (await status_of("offset=-1", Accept="text/html"))[0] == 406
        assert (await status_of("offset=-1&limit=0"))[0] == 400
        assert (await status_of("offset=-1&limit=" + "9" * 5000))[0] == 400


async def test_a_position_that_is_gone_is_410_with_the_earliest_one(
    kafka: str,
    http: aiohttp.ClientSession,
    make_feed: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
) -> None:
    feed = make_feed()
    write(feed, [b"%d" % n for n in range(20)])
    admin = AdminClient({"bootstrap.servers": kafka})
    async with serve(history_consumers=1) as url:
        target = f"{url}/v1/feeds/{feed}/events"
        async with http.get(target, params={"limit": 5}) as answer:
            offset = answer.headers["Stream-Next-Offset"]
        # What a consumer that stands just there has fetched already may still be given: let it stand elsewhere.
        await http.get(target, params={"limit": 6})

        async def earliest_of(live: str) -> str | None:
            async with http.get(target, params={"offset": offset, **({"live": live} if live else {})}) as answer:
                return (await answer.json())["earliest_offset"] if answer.status == 410 else None

        admin.delete_records([TopicPartition(feed, 0, 12)])[TopicPartition(feed, 0)].result()
        for live in ("", "long-poll", "sse"):
            earliest = await earliest_of(live)
            assert earliest is not None
            async with http.get(target, params={"offset": earliest}) as answer:
                assert data(await answer.json()) == list(range(12, 20))
        # Deleted and made again: refused too, though the new topic has such offsets.
        admin.delete_topics([feed])[feed].result()
        await until(lambda: admin.create_topics([NewTopic(feed, 1, 1)])[feed].exception() is None)
        write(feed, [b"%d" % n for n in range(100, 140)])
        await until(lambda: earliest_of("sse"))
        for live in ("", "long-poll", "sse"):
            earliest = await earliest_of(live)
            assert earliest is not None
            async with http.get(target, params={"offset": earliest}) as answer:
                assert data(await answer.json()) == list(range(100, 140))


async def test_a_page_of_large_events_is_cut_and_the_next_goes_on(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(1)
    write(feed, [orjson.dumps([n, "x" * 900_000]) for n in range(40)])
    async with serve() as url:
        offset, seen, pages = "-1", [], 0
        while True:
            async with http.get(f"{url}/v1/feeds/{feed}/events", params={"offset": offset}) as answer:
                events = await answer.json()
                assert int(answer.headers["Content-Length"]) < 20 * 2**20
                seen += [event["data"][0] for event in events]
                pages += 1
                offset = answer.headers["Stream-Next-Offset"]
                if "Stream-Up-To-Date" in answer.headers:
                    break
        assert pages > 1
        assert seen == list(range(40))


async def test_feeds_are_listed_and_described(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(2)
    write(feed, [b"1", b"2"], partition=1)
    async with serve() as url:
        async with http.get(f"{url}/v1/feeds") as answer:
            names = [entry["name"] for entry in (await answer.json())["feeds"]]
            assert {feed, f"{feed}.dead", "flights.departures"} <= set(names)
        async with http.get(f"{url}/v1/feeds/{feed}") as answer:
            about = await answer.json()
            assert (about["partitions"], about["records"]) == (2, 2)
        async with http.get(f"{url}/v1/feeds/{feed}/events", params={"offset": about["earliest_offset"]}) as answer:
            assert answer.headers["Stream-Next-Offset"] == about["next_offset"]
            assert data(await answer.json()) == [1, 2]
