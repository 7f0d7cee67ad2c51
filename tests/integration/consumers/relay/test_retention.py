"""What the log is about to drop, or has dropped: told, saved as dead letters, never a silent gap."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from integration.consumers.relay.conftest import running_relay
from prometheus_client import REGISTRY
from support.receiver import receiver, status
from support.waiting import until

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("forgetful_relay")

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
async def forgetful_relay(log: Log) -> AsyncIterator[str]:
    """A relay that keeps nothing in memory: what the log has dropped is gone."""
    async with running_relay(log, ring_bytes=0, mirror_interval_s=0.05) as address:
        yield address


def keep_for(log: Log, topic: str, retention_ms: int) -> None:
    entry = ConfigEntry("retention.ms", str(retention_ms), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in log.admin.incremental_alter_configs([resource]).values():
        future.result()


def letters(log: Log, feed: str) -> list[tuple[dict[str, str], bytes | None]]:
    """The headers and values of a feed's dead letters."""
    consumer = Consumer({"bootstrap.servers": log.kafka, "group.id": "look", "enable.partition.eof": True})
    consumer.assign([TopicPartition(f"{feed}.dead", 0, OFFSET_BEGINNING)])
    found: list[tuple[dict[str, str], bytes | None]] = []
    while True:
        for message in consumer.consume(100, 0.5):
            if message.error() is not None:
                consumer.close()
                return found
            found.append((_said(message), message.value()))


def _said(message: Message) -> dict[str, str]:
    headers = cast("list[tuple[str, bytes]]", message.headers() or [])
    return {name: value.decode() for name, value in headers}


async def test_hours_until_loss_are_told_while_something_waits(api: Api, log: Log) -> None:
    feed = log.feed()
    keep_for(log, feed, 10 * HOUR_MS)
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url, retry_s=[3600])
        log.send(feed, 1, timestamp_ms=int(time.time() * 1000) - 2 * HOUR_MS)

        async def told() -> bool:
            hours = (await api.status(created["id"])).get("hours_until_loss")
            return hours is not None and 7.9 < hours < 8.1

        await until(told)
        labels = {"subscription": created["id"], "feed": feed}
        await until(lambda: 7.9 < (REGISTRY.get_sample_value("headrace_relay_hours_until_loss", labels) or 0) < 8.1)


async def test_a_parked_event_becomes_a_dead_letter_before_the_log_drops_it(api: Api, log: Log) -> None:
    feed = log.feed()
    keep_for(log, feed, HOUR_MS)
    async with receiver() as receiving:
        receiving.answer = status(500)
        created = await api.create(feed, receiving.url, retry_s=[3600])
        (old,) = log.send(feed, 1, timestamp_ms=int(time.time() * 1000) - 56 * 60_000)
        (new,) = log.send(feed, 1)

        async def saved() -> bool:
            found = await api.status(created["id"])
            return found.get("parked") == 1 and len(letters(log, feed)) == 1

        await until(saved)
        said, value = letters(log, feed)[0]
        assert said["ce_id"] == old != new
        assert said["ce_deadlettersubscription"] == created["id"]
        assert "dropped" in said["ce_deadletterreason"]
        assert orjson.loads(value or b"") == {"id": old}


async def test_a_range_that_the_log_dropped_unread_leaves_a_dead_letter_that_names_it(api: Api, log: Log) -> None:
    feed = log.feed()
    async with receiver() as receiving:
        created = await api.create(feed, receiving.url, offset="-1")
        await api.call("POST", f"/{created['id']}/pause")
        await until(lambda: _paused(api, created["id"]))
        log.send(feed, 20)
        log.admin.delete_records([TopicPartition(feed, 0, 12)])[TopicPartition(feed, 0)].result()
        async with api.session.get(f"{api.url}/v1/feeds/{feed}/events") as answer:
            assert answer.status == 200
        await api.call("POST", f"/{created['id']}/resume")
        await until(lambda: _told(log, feed))
        said, value = letters(log, feed)[0]
        assert value is None
        assert (said["ce_deadletteroffset"], said["ce_deadletterend"]) == ("0", "12")


async def test_a_seek_to_what_the_log_dropped_is_refused_with_where_it_begins(api: Api, log: Log) -> None:
    feed = log.feed()
    _, created = await api.call("POST", feed=feed, mode="pull", offset="-1")
    await until(lambda: api.status(created["id"]))
    log.send(feed, 20)
    await until(lambda: api.has(created["id"], lag=20))  # the relay has read them, and keeps none
    log.admin.delete_records([TopicPartition(feed, 0, 12)])[TopicPartition(feed, 0)].result()
    code, problem = await api.call("POST", f"/{created['id']}/seek", offset=created["start"])
    assert code == 410
    assert (await api.seek(created["id"], offset=problem["earliest_offset"]))["status"]["lag"] == 8


async def test_a_page_of_what_the_log_dropped_is_refused_with_where_it_begins(api: Api, log: Log) -> None:
    feed = log.feed()
    _, created = await api.call("POST", feed=feed, mode="pull", offset="-1")
    await until(lambda: api.status(created["id"]))
    log.send(feed, 20)
    log.admin.delete_records([TopicPartition(feed, 0, 12)])[TopicPartition(feed, 0)].result()
    code, problem = await api.call("GET", f"/{created['id']}/events")
    assert code == 410
    _, _ = await api.call("POST", f"/{created['id']}/ack", offset=problem["earliest_offset"])
    code, events = await api.call("GET", f"/{created['id']}/events")
    assert (code, len(events)) == (200, 8)


async def _paused(api: Api, name: str) -> bool:
    shown = await api.show(name)
    return bool(shown["state"] == "paused" and shown["status"] is not None)


def _told(log: Log, feed: str) -> Any:
    return letters(log, feed)
