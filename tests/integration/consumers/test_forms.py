"""The forms in which a page is to be had, and their codings."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import cramjam
import fastavro
import orjson
import pytest
import zstandard
from support.feeds import release, write_feed, write_schema

from headrace.schemas.catalogue import load_catalogue
from headrace.settings import ServeSettings

FIELDS: list[dict[str, Any]] = [{"name": "id", "type": "string"}, {"name": "n", "type": "int", "default": 0}]


async def test_an_avro_file_holds_the_values_with_the_feeds_schema(
    http: aiohttp.ClientSession,
    feeds: Path,
    new_topic: Callable[..., str],
    serve: Callable[..., Any],
    write: Callable[..., None],
) -> None:
    feed = new_topic(2)
    write_schema(feeds, "test.Order", FIELDS[:1])
    write_feed(feeds, feed, schema="test.Order", key="id", partitions=2)
    release(feeds)
    older = load_catalogue(ServeSettings(feeds=feeds))[feed].codec
    write_schema(feeds, "test.Order", FIELDS)
    release(feeds)
    codec = load_catalogue(ServeSettings(feeds=feeds))[feed].codec
    write(feed, [older.encode({"id": "old"}), None, b"\x00what is this"])
    write(feed, [codec.encode({"id": f"{n:04}" * 10, "n": n}) for n in range(3000)], partition=1)
    async with serve() as url:
        for accept in ("application/avro", "avro/binary, application/json;q=0.5"):
            headers = {"Accept": accept, "Accept-Encoding": "identity"}
            query = {"limit": "10000"}
            async with http.get(f"{url}/v1/feeds/{feed}/events", params=query, headers=headers) as answer:
                assert answer.content_type == "application/avro"
                assert answer.headers["Headrace-Left-Out"] == "2"
                reader = fastavro.reader(io.BytesIO(await answer.read()))
                values: list[Any] = list(reader)
                schema: Any = reader.writer_schema
            assert schema["name"] == "test.Order"
            assert {"id": "old", "n": 0} in values
            assert [value["n"] for value in values if value["id"] != "old"] == list(range(3000))
        headers = {"Accept": "application/avro"}
        async with http.get(f"{url}/v1/feeds/{feed}/events?offset=now", headers=headers) as answer:
            assert list(fastavro.reader(io.BytesIO(await answer.read()))) == []


async def test_avro_of_a_feed_without_a_schema_is_406_and_says_what_is_to_be_had(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any]
) -> None:
    feed = make_feed()
    headers = {"Accept": "application/avro"}
    async with serve() as url, http.get(f"{url}/v1/feeds/{feed}/events", headers=headers) as answer:
        assert answer.status == 406
        assert "application/x-ndjson" in (await answer.json())["detail"]


async def test_a_cloudevents_batch_is_the_array_under_its_own_name(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    write(feed, [b"1", b"2"])
    headers = {"Accept": "application/cloudevents-batch+json"}
    async with serve() as url, http.get(f"{url}/v1/feeds/{feed}/events", headers=headers) as answer:
        assert answer.content_type == "application/cloudevents-batch+json"
        events = await answer.json(content_type=None)
        assert [(event["specversion"], event["data"]) for event in events] == [("1.0", 1), ("1.0", 2)]


@pytest.mark.parametrize("live", ["", "&live=long-poll"])
async def test_pages_above_a_kilobyte_are_compressed_as_the_client_accepts(
    kafka: str, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None], live: str
) -> None:
    feed = make_feed()
    write(feed, [orjson.dumps({"n": n, "x": "x" * 500}) for n in range(500)])
    inflate: dict[str, Callable[[bytes], bytes]] = {
        "gzip": lambda body: zlib.decompress(body, wbits=31),
        "zstd": zstandard.ZstdDecompressor().decompress,
        "br": lambda body: bytes(cramjam.brotli.decompress(body)),
    }
    async with serve() as url, aiohttp.ClientSession(auto_decompress=False) as http:
        tags = set()
        for coding, restored in inflate.items():
            headers = {"Accept-Encoding": coding}
            target = f"{url}/v1/feeds/{feed}/events?offset=-1{live}"
            async with http.get(target, headers=headers) as answer:
                assert answer.headers["Content-Encoding"] == coding
                assert answer.headers["Vary"] == "Accept, Accept-Encoding"
                body = await answer.read()
                tags.add(answer.headers.get("ETag"))
            assert len(body) < 60_000
            assert [event["data"]["n"] for event in orjson.loads(restored(body))] == list(range(500))
            async with http.get(f"{target}&limit=1", headers=headers) as answer:
                assert "Content-Encoding" not in answer.headers
                assert len(await answer.json()) == 1
        assert len(tags) == (1 if live else 3)
