"""Dead letters: what they hold, when they are written, and that they are a feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from confluent_kafka import Message
from support.receiver import receiver, status
from support.told import happened, records
from support.waiting import until

from headrace.consumers.relay.definition import POSITIONS

if TYPE_CHECKING:
    from integration.consumers.relay.conftest import Api, Log

pytestmark = pytest.mark.usefixtures("relay")

REFUSED = status(400, {"webhook-delivery": "abort-message"}, b"no, thank you")


def raw_headers(message: Message) -> list[tuple[str, bytes]]:
    return cast("list[tuple[str, bytes]]", message.headers() or [])


def headers_of(message: Message) -> dict[str, str]:
    return {name: value.decode() for name, value in raw_headers(message)}


async def dead(log: Log, feed: str, count: int = 1) -> list[Message]:
    async def enough() -> list[Message] | None:
        found = await records(log.kafka, f"{feed}.dead")
        return found if len(found) >= count else None

    return await until(enough)


async def test_it_is_the_event_with_what_became_of_it(api: Api, log: Log) -> None:
    feed = log.feed()
    log.topic(f"{feed}.dead")
    value = b'{"n": 1,  "spaces": "as they came"}'
    headers: list[tuple[str, str | bytes]] = [
        ("ce_id", "odd id"),
        ("ce_type", "t"),
        ("ce_source", "/s"),
        ("ce_tenant", "a"),
        ("other", b"\xff"),
    ]
    async with receiver() as receiving:
        receiving.answer = status(500, body=b"out of order")
        created = await api.create(feed, receiving.url, retry_s=[0.05, 0.05], failures_to_open=100)
        await until(lambda: api.has(created["id"], lag=0))
        log.put(feed, value, key=b"\x00key", headers=headers)
        (letter,) = await dead(log, feed)
        assert (letter.value(), letter.key()) == (value, b"\x00key")
        raw = raw_headers(letter)
        assert [header for header in raw if not header[0].startswith("ce_deadletter")] == [
            (name, content if isinstance(content, bytes) else content.encode()) for name, content in headers
        ]
        told = {name: content.decode() for name, content in raw if name.startswith("ce_deadletter")}
        assert told.pop("ce_deadlettertime").endswith("Z")
        assert told == {
            "ce_deadletterreason": "answered 500",
            "ce_deadlettertopic": feed,
            "ce_deadletterpartition": "0",
            "ce_deadletteroffset": "0",
            "ce_deadlettersubscription": created["id"],
            "ce_deadletterattempts": "3",
        }


async def test_without_a_topic_for_them_it_is_made_and_nobody_stands_still(api: Api, log: Log) -> None:
    """A feed whose topic somebody else made has none."""
    feed, other = log.feed(), log.feed()
    async with receiver() as receiving:
        refused = log.send(feed)[0]
        receiving.choose = lambda d: REFUSED if d.id == refused else None
        await api.create(feed, receiving.url, offset="-1")
        beside = await api.create(other, receiving.url)
        await until(lambda: refused in receiving.ids)
        await until(lambda: f"{feed}.dead" in log.admin.list_topics().topics)
        (letter,) = await dead(log, feed)
        assert headers_of(letter)["ce_id"] == refused
        log.send(other, 5)
        await until(lambda: _position_written(log, beside["id"], b'"position":5'))


async def _position_written(log: Log, name: str, text: bytes) -> bool:
    found = await records(log.kafka, POSITIONS.name)
    return any((m.key() or b"").startswith(name.encode()) and text in (m.value() or b"") for m in found)


async def test_it_is_in_kafka_before_the_position_passes_it(api: Api, log: Log) -> None:
    feed = log.feed()
    log.topic(f"{feed}.dead")
    async with receiver() as receiving:
        receiving.answer = REFUSED
        created = await api.create(feed, receiving.url, max_in_flight=1)
        await until(lambda: api.has(created["id"], lag=0))
        log.send(feed, 40)
        letters = await dead(log, feed, 40)
        await until(lambda: _position_written(log, created["id"], b'"position":40'))
        written_ms = {int(headers_of(m)["ce_deadletteroffset"]): m.timestamp()[1] for m in letters}
        passed = [
            (m.timestamp()[1], m.value() or b"")
            for m in await records(log.kafka, POSITIONS.name)
            if (m.key() or b"").startswith(created["id"].encode()) and b"\0lane\0" in (m.key() or b"")
        ]
        assert passed
        for at_ms, state in passed:
            position = int(state.split(b'"position":')[1].split(b",")[0].rstrip(b"}"))
            assert all(written_ms[offset] <= at_ms for offset in range(position))


async def test_a_subscription_to_them_gets_them_and_makes_no_others_of_them(api: Api, log: Log) -> None:
    feed = log.feed()
    log.topic(f"{feed}.dead")
    async with receiver() as receiving, receiver() as undertaker:
        receiving.answer = REFUSED
        undertaker.answer = REFUSED
        letters = await api.create(f"{feed}.dead", undertaker.url)
        events = await api.create(feed, receiving.url)
        await until(lambda: api.has(events["id"], lag=0))
        await until(lambda: api.has(letters["id"], lag=0))
        ids = log.send(feed, 2)
        await until(lambda: sorted(undertaker.ids) == sorted(ids))
        event = undertaker.deliveries[0].event
        assert event["data"] == {"id": event["id"]}
        assert event["deadlettersubscription"] == events["id"]
        assert event["deadletterreason"] == "answered 400"
        await until(lambda: api.has(letters["id"], lag=0, parked=0, failed=2))
        # The last is settled after whatever it made was acknowledged.
        await until(lambda: _told(log, letters["id"], ["undeliverable", "undeliverable"]))
        assert len(await records(log.kafka, f"{feed}.dead")) == 2
        assert f"{feed}.dead.dead" not in log.admin.list_topics().topics


async def _told(log: Log, name: str, events: list[str]) -> bool:
    return await happened(log.kafka, name) == events


@pytest.mark.parametrize("ordering", ["none", "key"])
async def test_one_of_many_is_a_dead_letter_and_the_others_arrive(api: Api, log: Log, ordering: str) -> None:
    feed = log.feed()
    log.topic(f"{feed}.dead")
    ids = log.send(feed, 20, key="k")
    async with receiver() as receiving:
        receiving.choose = lambda d: status(500) if d.id == ids[3] else None
        created = await api.create(
            feed, receiving.url, offset="-1", retry_s=[0.05], ordering=ordering, failures_to_open=100
        )
        await until(lambda: api.has(created["id"], lag=0, parked=0, delivered=19))
        (letter,) = await dead(log, feed)
        assert headers_of(letter)["ce_id"] == ids[3]
        if ordering == "key":
            assert list(dict.fromkeys(receiving.ids)) == ids


async def test_where_somebody_deleted_their_topic_it_is_made_again_and_nothing_is_left_out(api: Api, log: Log) -> None:
    feed = log.feed()
    topic = f"{feed}.dead"
    async with receiver() as receiving:
        receiving.answer = REFUSED
        created = await api.create(feed, receiving.url)
        await until(lambda: api.has(created["id"], lag=0))
        await until(lambda: topic in log.admin.list_topics(timeout=10).topics)
        log.admin.delete_topics([topic])[topic].result()
        ids = log.send(feed, 3)
        letters = await dead(log, feed, 3)
        assert sorted(headers_of(letter)["ce_id"] for letter in letters) == sorted(ids)
