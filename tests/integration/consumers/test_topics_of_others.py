from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from confluent_kafka import Producer
from support.waiting import until

from headrace.schemas.catalogue import BUILT_IN, load_catalogue
from headrace.settings import ServeSettings


async def events_of(http: aiohttp.ClientSession, url: str, feed: str) -> list[dict[str, Any]]:
    async with http.get(f"{url}/v1/feeds/{feed}/events") as answer:
        assert answer.status == 200
        events: list[dict[str, Any]] = await answer.json()
        return events


async def test_json_without_attributes_is_events_with_ids_from_their_place(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(2, extra='event_type = "things"')
    write(feed, [b'{"a": 1}', b"[2]", None], partition=1, key=b"k")
    async with serve() as url:
        events = await events_of(http, url, feed)
    assert [event["data"] for event in events] == [{"a": 1}, [2], None]
    assert [event["id"] for event in events] == [f"{feed}:1:{offset}" for offset in range(3)]
    for event in events:
        assert event["specversion"] == "1.0"
        assert event["type"] == "things"
        assert event["source"] == f"/feeds/{feed}"
        assert event["partitionkey"] == "k"
        assert event["time"].startswith("20")


async def test_raw_bytes_are_base64(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed(extra='format = "bytes"\nmedia_type = "image/png"')
    write(feed, [bytes(range(256)), b""])
    async with serve() as url:
        events = await events_of(http, url, feed)
    assert [base64.b64decode(event["data_base64"]) for event in events] == [bytes(range(256)), b""]
    assert {event["datacontenttype"] for event in events} == {"image/png"}


async def test_what_cannot_be_decoded_is_readable_and_the_stream_goes_on(
    http: aiohttp.ClientSession, make_feed: Callable[..., str], serve: Callable[..., Any], write: Callable[..., None]
) -> None:
    feed = make_feed()
    broken = [b"{not json", b"\xff\xfe", b"", b"[" * 100_000]
    odd_headers: list[tuple[str, str | bytes | None]] = [
        ("ce_id", b"\xff"),
        ("ce_", b"x"),
        ("ce_type", None),
        ("ce_data", b"no"),
        ("other", b"\x00"),
    ]
    write(feed, [b"1"])
    write(feed, broken, key=b"\xff\xfe", headers=odd_headers)
    write(feed, [b"2"])
    async with serve() as url:
        events = await events_of(http, url, feed)
        async with http.get(f"{url}/v1/feeds/{feed}/events?live=sse&offset=-1") as answer:
            seen = b""
            while b'"data":2' not in seen:
                seen += await answer.content.readuntil(b"\n\n")
    assert [events[0]["data"], events[-1]["data"]] == [1, 2]
    for event, value in zip(events[1:-1], broken, strict=True):
        assert base64.b64decode(event["data_base64"]) == value
        assert event["dataerror"]
        assert "data" not in event


async def test_avro_that_is_none_is_readable_and_the_stream_goes_on(
    http: aiohttp.ClientSession, kafka: str, feeds: Path, make_feed: Callable[..., str], serve: Callable[..., Any]
) -> None:
    feed = make_feed()
    (feeds / "avro").mkdir()
    shutil.copy(BUILT_IN / "avro" / "flights.Airline.avsc", feeds / "avro")
    (feeds / "feeds" / f"{feed}.toml").write_text(
        f'description = "A test."\ntopic = "{feed}"\nschema = "flights.Airline"\nkey = "carrier"\n', "utf-8"
    )
    codec = load_catalogue(ServeSettings(bootstrap_servers=kafka))["flights.airlines"].codec
    good = codec.encode({"carrier": "AA", "name": "American"})
    values = [good, b"", b"\x00\x00", b"\x00\xff\xff\xff\xffabc", good[:-2], good + b"x", b"plain text", good]
    producer = Producer({"bootstrap.servers": kafka})
    for value in values:
        producer.produce(feed, value)
    assert producer.flush(30) == 0
    async with serve() as url:
        events = await events_of(http, url, feed)
    assert [events[0]["data"]["carrier"], events[-1]["data"]["carrier"]] == ["AA", "AA"]
    for event, value in zip(events[1:-1], values[1:-1], strict=True):
        assert base64.b64decode(event["data_base64"]) == value
        assert event["dataerror"]


async def test_compressed_topics_and_records_of_any_codec_are_read(
    http: aiohttp.ClientSession, kafka: str, make_feed: Callable[..., str], serve: Callable[..., Any]
) -> None:
    feed = make_feed()
    for number, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        producer = Producer({"bootstrap.servers": kafka, "compression.type": codec})
        producer.produce(feed, b"%d" % number)
        assert producer.flush(30) == 0
    async with serve() as url:

        async def all_there() -> bool:
            return [event["data"] for event in await events_of(http, url, feed)] == [0, 1, 2, 3, 4]

        await until(all_there)
