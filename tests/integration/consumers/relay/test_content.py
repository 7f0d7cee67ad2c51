"""What is posted: content modes, batches, projections, headers of one's own, and data of every kind."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from support.feeds import release, write_feed, write_schema
from support.receiver import Delivery, receiver, status
from support.told import records
from support.waiting import until

from headrace.schemas.catalogue import load_catalogue
from headrace.settings import ServeSettings

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "place", "type": {"type": "record", "name": "test.Place", "fields": [{"name": "gate", "type": "string"}]}},
]


@pytest.fixture(scope="module")
def helpers(request: pytest.FixtureRequest) -> Any:
    """The plugin of this directory, for what is no fixture."""
    return next(
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(Path(__file__).with_name("conftest.py"))
    )


@pytest.fixture(scope="module")
def own_log(kafka: str, tmp_path_factory: pytest.TempPathFactory, helpers: Any) -> Log:
    """Feeds of every format."""
    log: Log = helpers.Log(kafka, tmp_path_factory.mktemp("content") / "defined")
    write_schema(log.feeds, "test.Flight", FIELDS)
    write_feed(log.feeds, "flights-avro", schema="test.Flight")
    write_feed(log.feeds, "pictures", format="bytes", media_type="image/png")
    release(log.feeds)
    for name in ("flights-avro", "pictures"):
        if name not in log.admin.list_topics().topics:
            log.topic(name)
    return log


@pytest.fixture(scope="module")
async def own_api(own_log: Log, helpers: Any) -> AsyncIterator[Api]:
    async with helpers.running_gateway(own_log) as api, helpers.running_relay(own_log):
        yield api


HEADERS = [
    ("ce_id", "a b/ü"),
    ("ce_type", "test.made"),
    ("ce_source", "/tests"),
    ("ce_subject", 'it\'s "this"'),
    ("ce_time", "2026-11-24T12:00:00Z"),
    ("ce_tenant", "a"),
]


async def one(api: Api, log: Log, feed: str, value: bytes | None, headers: Any = HEADERS, **members: Any) -> Any:
    """The one delivery of a record, and the secret that it is signed with."""
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, **members)
        await until(lambda: api.has(created["id"], lag=0))
        log.put(feed, value, key="k", headers=headers)
        await until(lambda: api.has(created["id"], delivered=1, lag=0))
        await api.call("DELETE", f"/{created['id']}")
        (delivery,) = receiving.deliveries
        delivery.check(created["secret"])
        return delivery


async def test_structured_is_the_whole_event(own_api: Api, own_log: Log) -> None:
    got = await one(own_api, own_log, own_log.feed(), b'{"n": 1}')
    assert got.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert got.event["specversion"] == "1.0"
    wanted = {"id": "a b/ü", "type": "test.made", "source": "/tests", "subject": 'it\'s "this"', "tenant": "a"}
    assert {name: got.event[name] for name in wanted} == wanted
    assert (got.event["time"], got.data) == ("2026-11-24T12:00:00Z", {"n": 1})
    assert not any(name.startswith("ce-") for name in got.headers)


async def test_binary_has_the_data_as_body_and_the_attributes_in_headers(own_api: Api, own_log: Log) -> None:
    got = await one(own_api, own_log, own_log.feed(), b'{"n": 1}', content_mode="binary")
    assert (got.headers["content-type"], got.event) == ("application/json", {"n": 1})
    assert got.headers["ce-specversion"] == "1.0"
    assert got.headers["ce-type"] == "test.made"
    assert got.headers["ce-source"] == "/tests"
    assert got.headers["ce-tenant"] == "a"
    assert got.headers["ce-time"] == "2026-11-24T12:00:00Z"
    # CloudEvents HTTP binding 1.0.2, section 3.1.3.2.
    assert got.headers["ce-id"] == "a%20b/%C3%BC"
    assert got.headers["ce-subject"] == "it's%20%22this%22"
    assert "ce-datacontenttype" not in got.headers


async def test_data_is_the_data_alone(own_api: Api, own_log: Log) -> None:
    got = await one(own_api, own_log, own_log.feed(), b'{"n": 1}', content_mode="data")
    assert (got.headers["content-type"], got.event) == ("application/json", {"n": 1})
    assert not any(name.startswith("ce-") for name in got.headers)


async def test_headers_of_ones_own_are_sent_and_shown_by_their_names_only(own_api: Api, own_log: Log) -> None:
    got = await one(own_api, own_log, own_log.feed(), b"{}", headers=HEADERS)
    assert "x-tenant" not in got.headers
    async with receiver() as receiving:
        created = await own_api.create(own_log.feed(), receiving.url, headers={"X-Tenant": "blue", "X-Key": "hush"})
        assert created["headers"] == ["x-key", "x-tenant"]
        await until(lambda: own_api.has(created["id"], lag=0))
        own_log.send(created["feed"])
        await until(lambda: len(receiving.deliveries) == 1)
        assert receiving.deliveries[0].headers["x-tenant"] == "blue"
        assert receiving.deliveries[0].headers["x-key"] == "hush"
    for bad in ({"webhook-id": "1"}, {"Host": "x"}, {"ce-id": "1"}, {"a b": "1"}, {"x": "a\r\nb: c"}, {"x": ""}):
        code, problem = await own_api.call("POST", feed=created["feed"], url="http://127.0.0.1:1/", headers=bad)
        assert code == 400, bad
        assert problem["errors"][0]["pointer"].startswith("/headers"), problem


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        ({"gate": "data.place.gate", "number": "data.n"}, {"gate": "B7", "number": 1}),
        (["data.place.gate"], {"place": {"gate": "B7"}}),
        (["data.missing"], {}),
    ],
)
@pytest.mark.parametrize("mode", ["structured", "binary", "data"])
async def test_a_projection_picks_and_renames(
    own_api: Api, own_log: Log, projection: Any, expected: Any, mode: str
) -> None:
    value = b'{"n": 1, "place": {"gate": "B7", "row": 3}, "more": true}'
    got = await one(own_api, own_log, own_log.feed(), value, projection=projection, content_mode=mode)
    assert (got.data if mode == "structured" else got.event) == expected


@pytest.mark.parametrize("mode", ["structured", "binary", "data"])
async def test_avro_arrives_as_json(own_api: Api, own_log: Log, mode: str) -> None:
    settings = ServeSettings(bootstrap_servers=own_log.kafka, feeds=own_log.feeds)
    codec = load_catalogue(settings)["flights-avro"].codec
    data = {"id": "UA1", "at": "2026-11-24T12:00:00Z", "place": {"gate": "B7"}}
    got = await one(own_api, own_log, "flights-avro", codec.encode(data), content_mode=mode)
    assert (got.data if mode == "structured" else got.event) == data


async def test_avro_that_cannot_be_read_is_delivered_as_bytes_and_holds_up_nobody(own_api: Api, own_log: Log) -> None:
    got = await one(own_api, own_log, "flights-avro", b"\x00\x00\x00\xff\xffnot avro")
    assert base64.b64decode(got.event["data_base64"]) == b"\x00\x00\x00\xff\xffnot avro"


@pytest.mark.parametrize("value", [b"\x89PNG\r\n\x1a\n\x00\xff", b""])
async def test_bytes_arrive_as_they_are(own_api: Api, own_log: Log, value: bytes) -> None:
    got = await one(own_api, own_log, "pictures", value, content_mode="data")
    assert (got.headers["content-type"], got.body) == ("image/png", value)
    got = await one(own_api, own_log, "pictures", value, content_mode="binary")
    assert (got.headers["content-type"], got.body, got.headers["ce-type"]) == ("image/png", value, "test.made")
    got = await one(own_api, own_log, "pictures", value)
    assert (got.event["datacontenttype"], base64.b64decode(got.event["data_base64"])) == ("image/png", value)


async def test_any_value_of_a_feed_of_json_is_delivered_in_every_mode(own_api: Api, own_log: Log) -> None:
    feed = own_log.feed()
    values = [b"null", b"[1, 2]", b'"text"', b"12345678901234567890123", b"not json", None]
    async with receiver() as receiving:
        modes = ("structured", "binary", "data")
        made = [await own_api.create(feed, f"{receiving.url}/{mode}", content_mode=mode) for mode in modes]
        for created in made:
            await until(lambda: own_api.has(created["id"], lag=0))  # noqa: B023
        for number, value in enumerate(values):
            own_log.put(feed, value, headers=[("ce_id", f"e{number}"), ("ce_type", "t"), ("ce_source", "/s")])
        for created in made:
            await until(lambda: own_api.has(created["id"], delivered=len(values), lag=0, failed=0))  # noqa: B023
        got = {(d.path.rpartition("/")[2], d.id): d for d in receiving.deliveries}
        for mode in ("binary", "data"):
            bodies = [got[mode, f"e{number}"].body for number in range(len(values))]
            assert [bodies[0], orjson.loads(bodies[1]), bodies[2], bodies[4]] == [
                b"null",
                [1, 2],
                b'"text"',
                b"not json",
            ]
        assert [got["structured", f"e{n}"].event.get("data") for n in range(3)] == [None, [1, 2], "text"]


async def test_what_can_not_be_made_a_message_of_is_a_dead_letter_and_holds_up_nobody(
    own_api: Api, own_log: Log
) -> None:
    """Data nested deeper than JSON is read."""
    feed = own_log.feed()
    deep = b"[" * 1024 + b"]" * 1024
    async with receiver() as receiving:
        created = await own_api.create(feed, receiving.url, content_mode="data", retry_s=[0.05])
        await until(lambda: own_api.has(created["id"], lag=0))
        own_log.put(feed, deep, headers=[("ce_id", "deep"), ("ce_type", "t"), ("ce_source", "/s")])
        ids = own_log.send(feed, 5)
        await until(lambda: own_api.has(created["id"], delivered=5, lag=0, parked=0))
        assert sorted(receiving.ids) == sorted(ids)
        (letter,) = await records(own_log.kafka, f"{feed}.dead")
        assert letter.value() == deep
        assert await own_api.breaker(created["id"]) == "closed"


def batch_of(delivery: Delivery) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = orjson.loads(delivery.body)
    return events


def ids_of(delivery: Delivery) -> list[str]:
    return [event["id"] for event in batch_of(delivery)]


async def test_a_batch_is_one_request_under_one_signature(own_api: Api, own_log: Log) -> None:
    feed = own_log.feed()
    ids = own_log.send(feed, 25)
    async with receiver() as receiving:
        batch = {"max_events": 10, "max_wait_ms": 500}
        created = await own_api.create(feed, receiving.url, offset="-1", batch=batch)
        await until(lambda: own_api.has(created["id"], delivered=25, lag=0))
        first, second, last = sorted(receiving.deliveries, key=lambda d: ids.index(ids_of(d)[0]))
        assert [len(batch_of(d)) for d in (first, second, last)] == [10, 10, 5]
        assert [event_id for d in (first, second, last) for event_id in ids_of(d)] == ids
        assert len({d.id for d in receiving.deliveries}) == 3
        for delivery in receiving.deliveries:
            delivery.check(created["secret"])
            assert delivery.headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
        assert last.at_s - first.at_s >= 0.3, "the last did not wait for more"


async def test_a_batch_of_one_is_a_batch(own_api: Api, own_log: Log) -> None:
    feed = own_log.feed()
    async with receiver() as receiving:
        created = await own_api.create(feed, receiving.url, batch={"max_events": 10})
        await until(lambda: own_api.has(created["id"], lag=0))
        (event_id,) = own_log.send(feed)
        await until(lambda: own_api.has(created["id"], delivered=1, lag=0))
        assert ids_of(receiving.deliveries[0]) == [event_id]


async def test_a_batch_that_fails_is_tried_again_whole_or_in_parts_and_in_the_end_is_dead(
    own_api: Api, own_log: Log
) -> None:
    feed = own_log.feed()
    ids = own_log.send(feed, 6)
    async with receiver() as receiving:
        receiving.choose = lambda d: status(500) if ids[2] in ids_of(d) else None
        created = await own_api.create(
            feed,
            receiving.url,
            offset="-1",
            batch={"max_events": 3, "max_wait_ms": 100},
            retry_s=[0.05, 0.1, 0.1],
            failures_to_open=100,
        )
        await until(lambda: own_api.has(created["id"], lag=0, parked=0))
        letters = await records(own_log.kafka, f"{feed}.dead")
        dead = {dict(m.headers() or [])["ce_id"].decode() for m in letters}  # type: ignore[union-attr]
        good = {event_id for d in receiving.deliveries if ids[2] not in ids_of(d) for event_id in ids_of(d)}
        assert ids[2] in dead
        assert dead | good == set(ids)
        assert not dead & good


async def test_a_batch_keeps_the_order_of_keys(own_api: Api, own_log: Log) -> None:
    feed = own_log.feed()
    sent: dict[str, list[str]] = {key: [] for key in "abc"}
    for _ in range(20):
        for key, ids in sent.items():
            ids += own_log.send(feed, key=key)
    async with receiver() as receiving:
        failed = asyncio.Event()

        def choose(delivery: Any) -> Any:
            if len(receiving.deliveries) == 3 and not failed.is_set():
                failed.set()
                return status(500)
            return None

        receiving.choose = choose
        batch = {"max_events": 5, "max_wait_ms": 10}
        created = await own_api.create(feed, receiving.url, offset="-1", ordering="key", batch=batch)
        await until(lambda: own_api.has(created["id"], delivered=60, lag=0, parked=0))
        accepted = [event_id for n, d in enumerate(receiving.deliveries) if n != 2 for event_id in ids_of(d)]
        for ids in sent.values():
            assert [event_id for event_id in accepted if event_id in ids] == ids
