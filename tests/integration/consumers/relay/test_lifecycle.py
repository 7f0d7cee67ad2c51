"""Subscriptions from their making to their end: create, look, pause, move, delete."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, TopicPartition
from prometheus_client import REGISTRY
from support.receiver import receiver, status, when
from support.waiting import until

from headrace.broker.jars import jars
from headrace.broker.java import find_java
from headrace.broker.lock import TOOLS
from headrace.consumers.relay.definition import POSITIONS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")


async def has(api: Api, name: str, **wanted: object) -> bool:
    found = await api.status(name)
    return all(found.get(member) == value for member, value in wanted.items())


def latest(log: Log, topic: str) -> dict[bytes, bytes | None]:
    """The last value of every key of a topic."""
    partitions = log.admin.list_topics(topic).topics[topic].partitions
    consumer = Consumer({"bootstrap.servers": log.kafka, "group.id": "look", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    values: dict[bytes, bytes | None] = {}
    ended = 0
    while ended < len(partitions):
        for message in consumer.consume(1000, 0.1):
            if message.error() is not None:
                ended += 1
            else:
                values[message.key() or b""] = message.value()
    consumer.close()
    return values


async def test_what_was_created_or_deleted_is_so_for_whoever_asks_next(api: Api, log: Log) -> None:
    feed = log.feed()
    for number in range(20):
        name = (await api.create(feed, "http://127.0.0.1:1/", name=f"{feed}-{number}"))["id"]
        assert (await api.call("GET", f"/{name}"))[0] == 200
        assert (await api.call("DELETE", f"/{name}"))[0] == 204
        assert (await api.call("GET", f"/{name}"))[0] == 404


async def test_the_secret_is_shown_once_and_nowhere_else(api: Api, log: Log) -> None:
    feed = log.feed()
    with structlog.testing.capture_logs() as lines:
        async with api.session.post(
            f"{api.url}/v1/subscriptions", json={"feed": feed, "url": "http://127.0.0.1:1/", "name": f"{feed}-a"}
        ) as answer:
            created = await answer.json()
            assert answer.status == 201
            assert answer.headers["Location"] == f"/v1/subscriptions/{feed}-a"
            assert answer.headers["Cache-Control"] == "no-store"
        assert created["secret"].startswith("whsec_")
        await until(lambda: has(api, f"{feed}-a", lag=0))
        _, listed = await api.call("GET")
        _, paused = await api.call("POST", f"/{feed}-a/pause")
        _, resumed = await api.call("POST", f"/{feed}-a/resume")
        await until(lambda: has(api, f"{feed}-a", lag=0))
        moved = await api.seek(f"{feed}-a", offset="-1")
        shown = await api.show(f"{feed}-a")
        await api.call("DELETE", f"/{feed}-a")
    said = orjson.dumps([listed, paused, resumed, moved, shown]).decode() + repr(lines)
    assert created["secret"].removeprefix("whsec_") not in said
    assert f"{feed}-a" in said


async def test_a_name_is_taken_once_even_at_the_same_moment(api: Api, log: Log) -> None:
    feed = log.feed()
    answers = await asyncio.gather(
        *(api.call("POST", feed=feed, url="http://127.0.0.1:1/", name=f"{feed}-b") for _ in range(5))
    )
    assert sorted(code for code, _ in answers) == [201, 409, 409, 409, 409]
    code, problem = await api.call("POST", feed=feed, url="http://127.0.0.1:1/", name=f"{feed}-b")
    assert (code, problem["title"]) == (409, "Conflict")
    assert f"{feed}-b" in problem["detail"]


@pytest.mark.parametrize(
    ("members", "pointer", "says"),
    [
        ({"url": "ftp://x/"}, "/url", "begin with http"),
        ({"url": "http://user:pass@x/"}, "/url", "user name or password"),
        ({"url": "http://x/\r\nevil: 1"}, "/url", "ASCII without spaces"),
        ({"url": "http://x:99999/"}, "/url", "ort"),
        ({"url": "http://" + "a/" * 2000}, "/url", "2048"),
        ({"url": None}, "/url", "string"),
        ({"name": "no spaces, please"}, "/name", "pattern"),
        ({"name": "../x"}, "/name", "pattern"),
        ({"name": ""}, "/name", "pattern"),
        ({"ordering": "total"}, "/ordering", "none"),
        ({"colour": "red"}, "/colour", "not permitted"),
        ({"offset": "what"}, "/offset", "not an offset token"),
        ({"offset": ""}, "/offset", "not an offset token"),
        ({"from": "noon"}, "/from", "date"),
        ({"from": "2026-11-01T12:00:00"}, "/from", "timezone"),
        ({"offset": "-1", "from": "2026-11-01T12:00:00Z"}, "", "not both"),
    ],
)
async def test_a_bad_request_says_what_is_wrong_and_where(
    api: Api, log: Log, members: dict[str, Any], pointer: str, says: str
) -> None:
    feed = _feed_for_refusals(log)
    body = {"feed": feed, "url": "http://127.0.0.1:1/", **members}
    async with api.session.post(f"{api.url}/v1/subscriptions", json=body) as answer:
        assert answer.status == 400
        assert answer.content_type == "application/problem+json"
        problem = await answer.json(content_type=None)
    assert problem["errors"][0]["pointer"] == pointer
    assert says in orjson.dumps(problem).decode()


_refusals: list[str] = []


def _feed_for_refusals(log: Log) -> str:
    if not _refusals:
        _refusals.append(log.feed())
    return _refusals[0]


async def test_what_is_not_there_is_404_and_what_is_no_json_400(api: Api) -> None:
    assert (await api.call("POST", feed="no.such.feed", url="http://x/"))[0] == 404
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/seek")]:
        code, problem = await api.call(method, f"/nobody{path}")
        assert code == 404
        assert "GET /v1/subscriptions lists them" in problem["detail"]
    async with api.session.post(f"{api.url}/v1/subscriptions", data=b"{") as answer:
        assert answer.status == 400


async def test_paused_it_stands_still_and_resumed_it_goes_on_without_loss_or_repeat(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url)
        ids = log.send(feed, 10)
        await until(lambda: has(api, created["id"], delivered=10, lag=0))
        code, paused = await api.call("POST", f"/{created['id']}/pause")
        assert (code, paused["state"]) == (200, "paused")
        await until(lambda: _state(api, created["id"], "paused"))
        ids += log.send(feed, 10)
        await until(lambda: has(api, created["id"], lag=10))
        assert len(receiving.ids) == 10
        await api.call("POST", f"/{created['id']}/resume")
        await until(lambda: has(api, created["id"], lag=0))
        assert sorted(receiving.ids) == sorted(ids)


async def _state(api: Api, name: str, state: str) -> bool:
    """Whether its owner has seen the change and has ended what was under way."""
    shown = await api.show(name)
    return shown["state"] == state and shown["status"] is not None and shown["status"]["in_flight"] == 0


async def test_a_pause_keeps_what_waits_for_its_retry(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url)
        ids = log.send(feed, 5)
        await until(lambda: has(api, created["id"], parked=5))
        await api.call("POST", f"/{created['id']}/pause")
        await until(lambda: _state(api, created["id"], "paused"))
        assert await has(api, created["id"], parked=5, lag=5)
        receiving.answer = status(204)
        await api.call("POST", f"/{created['id']}/resume")
        await until(lambda: has(api, created["id"], parked=0, lag=0, delivered=5))
        assert set(receiving.ids) == set(ids)


async def test_a_seek_moves_it_in_every_way_and_what_was_before_does_not_count(api: Api, log: Log) -> None:
    feed = log.feed(partitions=2)
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, offset="-1")
        name = created["id"]
        early = log.send(feed, 10, timestamp_ms=1_700_000_000_000)
        await until(lambda: has(api, name, lag=0, delivered=10))
        middle = (await api.status(name))["offset"]
        late = log.send(feed, 10, timestamp_ms=1_700_000_100_000)
        await until(lambda: has(api, name, lag=0, delivered=20))

        epoch = 0
        for members, expected in (
            ({"offset": "-1"}, early + late),
            ({"offset": middle}, late),
            ({"from_": "2023-11-14T22:14:00Z"}, late),
            ({"offset": "now"}, []),
        ):
            receiving.deliveries.clear()
            moved = await api.seek(name, **members)
            assert moved["status"]["epoch"] > epoch
            epoch = moved["status"]["epoch"]
            await until(lambda: has(api, name, lag=0, delivered=len(expected)))  # noqa: B023
            assert sorted(receiving.ids) == sorted(expected)
        code, problem = await api.call("POST", f"/{name}/seek")
        assert (code, "offset" in problem["detail"]) == (400, True)
        code, problem = await api.call("POST", f"/{name}/seek", offset="nonsense")
        assert (code, "not an offset token" in problem["detail"]) == (400, True)


async def test_a_seek_forgets_what_was_parked(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url)
        log.send(feed, 5)
        await until(lambda: has(api, created["id"], parked=5))
        receiving.answer = status(204)
        moved = await api.seek(created["id"], offset="now")
        assert (moved["status"]["parked"], moved["status"]["lag"]) == (0, 0)
        kept = {k: v for k, v in latest(log, POSITIONS.name).items() if k.startswith(created["id"].encode())}
        assert [k for k, v in kept.items() if v is not None and b"\0parked\0" in k] == []


async def test_deleted_it_leaves_tombstones_and_nothing_else(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        receiving.choose = lambda d: status(500) if d.data["id"].endswith("3") else None
        created = await api.create(feed, receiving.url)
        name = created["id"]
        log.send(feed, 20)
        await until(lambda: _parked_and_mirrored(api, log, name))
        await api.seek(name, offset="-1")
        await until(lambda: _parked_and_mirrored(api, log, name))
        assert (await api.call("DELETE", f"/{name}"))[0] == 204
        assert (await api.call("GET", f"/{name}"))[0] == 404
        await until(lambda: not _kept(log, name))
        assert latest(log, SUBSCRIPTIONS.name)[name.encode()] is None
        await until(lambda: f"headrace.sub.{name}" not in _groups(log))
        await until(lambda: _sample("headrace_relay_lag_events", name, feed) is None)


async def _parked_and_mirrored(api: Api, log: Log, name: str) -> bool:
    found = await api.status(name)
    return bool(found.get("parked")) and f"headrace.sub.{name}" in _groups(log)


def _kept(log: Log, name: str) -> list[bytes]:
    return [k for k, v in latest(log, POSITIONS.name).items() if k.split(b"\0")[0] == name.encode() and v is not None]


def _groups(log: Log) -> set[str]:
    return {group.group_id for group in log.admin.list_consumer_groups().result().valid}


def _sample(metric: str, name: str, feed: str) -> float | None:
    return REGISTRY.get_sample_value(metric, {"subscription": name, "feed": feed})


@pytest.mark.parametrize("at_once", [True, False])
async def test_one_made_again_under_the_name_of_another_begins_where_it_says(api: Api, log: Log, at_once: bool) -> None:
    feed, other = log.feed(), log.feed()
    name = f"{feed}-again"
    async with receiver() as receiving:
        await api.create(feed, receiving.url, name=name)
        log.send(feed, 10)
        await until(lambda: has(api, name, delivered=10))
        ids = log.send(other, 5)
        await api.call("DELETE", f"/{name}")
        if not at_once:
            await until(lambda: not _kept(log, name))
        await api.create(other, receiving.url, name=name, offset="-1")
        await until(lambda: set(ids) <= set(receiving.ids))
        await until(lambda: has(api, name, lag=0))
        assert len(receiving.ids) == 15


async def test_a_test_event_is_signed_and_answers_how_it_went(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url)
        await until(lambda: has(api, created["id"], lag=0))
        code, outcome = await api.call("POST", f"/{created['id']}/test")
        assert (code, outcome["delivered"], outcome["status"], outcome["error"]) == (200, True, 204, None)
        receiving.deliveries[0].check(created["secret"])
        assert receiving.deliveries[0].event["type"] == "headrace.test"
        receiving.answer = status(503)
        _, outcome = await api.call("POST", f"/{created['id']}/test")
        assert (outcome["delivered"], outcome["status"], outcome["error"]) == (False, 503, "answered 503")
        assert await has(api, created["id"], delivered=0, lag=0)


async def test_a_wrong_owner_says_so(api: Api, log: Log, relay: str) -> None:
    for method, path in [("GET", ""), ("POST", "/seek"), ("POST", "/test")]:
        async with api.session.request(method, f"http://{relay}/v1/subscriptions/unknown{path}") as answer:
            assert answer.status == 421


async def test_kafkas_own_tools_show_position_and_lag(api: Api, log: Log) -> None:
    feed = log.feed(partitions=2)
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url)
        group = f"headrace.sub.{created['id']}"
        log.send(feed, 7, partition=0)
        log.send(feed, 4, partition=1)
        await until(lambda: _committed(log, group, feed) == [7, 4])
        await api.call("POST", f"/{created['id']}/pause")
        await until(lambda: _state(api, created["id"], "paused"))
        log.send(feed, 5, partition=1)
        await until(lambda: has(api, created["id"], lag=5))
        command = [str(find_java()), "-cp", ":".join(map(str, [*jars(TOOLS), *jars()]))]
        command += ["org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"]
        command += ["--bootstrap-server", log.kafka, "--describe", "--group", group]
        shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        rows = [line.split() for line in shown.stdout.splitlines() if line.startswith(group)]
        assert sorted(row[1:6] for row in rows) == [[feed, "0", "7", "7", "0"], [feed, "1", "4", "9", "5"]]
        await api.call("POST", f"/{created['id']}/resume")
        await until(lambda: _committed(log, group, feed) == [7, 9])


def _committed(log: Log, group: str, feed: str) -> list[int]:
    found = log.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result()
    return [p.offset for p in sorted(found.topic_partitions or [], key=lambda p: p.partition) if p.topic == feed]


async def test_metrics_tell_lag_attempts_and_latency(api: Api, log: Log) -> None:
    feed = log.feed()
    held = asyncio.Event()

    def value(metric: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(metric, labels) or 0.0

    async with receiver() as receiving:
        receiving.answer = when(held, status(204))
        receiving.choose = lambda d: status(500) if d.data["id"] == ids[0] and not held.is_set() else None
        ids: list[str] = []
        created = await api.create(feed, receiving.url)
        name = created["id"]
        await until(lambda: has(api, name, lag=0))
        ids += log.send(feed, 5)
        await until(lambda: _sample("headrace_relay_lag_events", name, feed) == 5)
        await until(lambda: value("headrace_relay_parked_events", subscription=name, feed=feed) == 1)
        await until(lambda: value("headrace_relay_requests_in_flight") >= 4)
        assert value("headrace_relay_owned_subscriptions") >= 1
        held.set()
        await until(lambda: _sample("headrace_relay_lag_events", name, feed) == 0)
        await until(lambda: value("headrace_relay_attempts_total", feed=feed, outcome="delivered") == 5)
        assert value("headrace_relay_attempts_total", feed=feed, outcome="failed") >= 1
        assert value("headrace_consumer_events_total", feed=feed, mode="webhook") == 5
        assert value("headrace_consumer_latency_seconds_count", feed=feed, mode="webhook") == 5
        assert value("headrace_consumer_bytes_total", feed=feed, mode="webhook") > 500
