"""Making and writing where the client goes, or Kafka fails, in the middle: no topic stays that has no stream."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from support.waiting import until

from headrace.durable import sweep
from headrace.durable.append import Append
from headrace.durable.stream import Stream, partition_of
from headrace.durable.streams import Streams
from headrace.durable.table import now_ms
from headrace.kafka.bridge import QueueFull
from headrace.kafka.offsets import KafkaUnavailable
from headrace.kafka.topics import create_topic
from headrace.settings import GatewaySettings

QUEUE_BYTES = 1000


@pytest.fixture
def _prompt_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SWEEP_S", 0.05)
    monkeypatch.setattr(sweep, "LEFT_S", 0.0)


@pytest.fixture
async def streams(kafka: str, tmp_path: Path, _prompt_sweep: None) -> AsyncIterator[Streams]:
    """The streams of a process that sweeps often, with little room."""
    made = Streams(GatewaySettings(bootstrap_servers=kafka, feeds=tmp_path), QUEUE_BYTES)
    await made.start()
    yield made
    await made.close()


def wanted() -> Stream:
    """A stream that is not there yet."""
    name, moment_ms = f"s-{uuid.uuid4().hex[:12]}", now_ms()
    return Stream(name, secrets.token_hex(4), "", "", "text/plain", moment_ms, moment_ms, (0,))


def topics(kafka: str, name: str) -> list[str]:
    """The topics of streams of this name."""
    admin = AdminClient({"bootstrap.servers": kafka})
    return [topic for topic in admin.list_topics(timeout=10).topics if topic.startswith(name)]


def producer_of(streams: Streams, name: str) -> Any:
    """Who writes the transactions in which this stream is changed."""
    return streams.table.definitions._writers[partition_of(name)]._producer


@contextlib.contextmanager
def held(streams: Streams, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Meanwhile no transaction begins, as if Kafka were away."""
    producer, back = producer_of(streams, name), asyncio.Event()
    begin = producer.begin

    async def late() -> None:
        await back.wait()
        await begin()

    monkeypatch.setattr(producer, "begin", late)
    try:
        yield
    finally:
        back.set()


async def gone(work: asyncio.Future[Any]) -> None:
    """Let the caller of something go."""
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_a_stream_whose_maker_goes_once_its_topic_is_there_is_made(
    gateway: Any, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, there, went = wanted(), asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: Any, **named: Any) -> Any:
        topic = await create_topic(*arguments, **named)
        there.set()
        await went.wait()
        return topic

    monkeypatch.setattr("headrace.durable.streams.create_topic", slowly)
    making = asyncio.ensure_future(streams.create(new, [b"x"]))
    await there.wait()
    await gone(making)
    went.set()
    await until(lambda: new.name in gateway.streams.table)
    assert await gateway.read(new.name) == b"x"


async def test_of_one_that_was_not_written_the_topic_goes(
    streams: Streams, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = wanted()
    _fail_one_commit(streams, new.name, monkeypatch, is_made=False)
    with pytest.raises(KafkaUnavailable):
        await streams.create(new, [b"x"])
    await until(lambda: not topics(kafka, new.name))
    await until(lambda: not _retired(streams, new.name))
    assert new.name not in streams.table


async def test_of_one_that_was_written_though_no_answer_said_so_the_topic_stays(
    gateway: Any, streams: Streams, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, unmade = wanted(), wanted()
    _fail_one_commit(streams, new.name, monkeypatch, is_made=True)
    with pytest.raises(KafkaUnavailable):
        await streams.create(new, [b"x"])
    await until(lambda: new.name in streams.table)
    # One that fails later is looked at later.
    _fail_one_commit(streams, unmade.name, monkeypatch, is_made=False)
    with pytest.raises(KafkaUnavailable):
        await streams.create(unmade, [])
    await until(lambda: not topics(kafka, unmade.name))
    assert not _retired(streams, new.name)
    assert topics(kafka, new.name) == [streams.table[new.name].topic]
    assert await gateway.read(new.name) == b"x"


def _fail_one_commit(streams: Streams, name: str, monkeypatch: pytest.MonkeyPatch, *, is_made: bool) -> None:
    producer = producer_of(streams, name)
    commit, left = producer.commit, [True]

    async def unanswered(records: Any) -> Any:
        if not left:
            return await commit(records)
        left.clear()
        if is_made:
            await commit(records)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    monkeypatch.setattr(producer, "commit", unanswered)


def _retired(streams: Streams, name: str) -> bool:
    return any(retired.name == name for retired in streams.table.retired.values())


async def test_of_a_topic_that_was_made_too_slowly_nothing_stays(
    streams: Streams, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = wanted()

    async def late(*arguments: Any, **named: Any) -> Any:
        await create_topic(*arguments, **named)
        raise TimeoutError

    monkeypatch.setattr("headrace.durable.streams.create_topic", late)
    with pytest.raises(KafkaUnavailable):
        await streams.create(new, [])
    await until(lambda: not topics(kafka, new.name))


async def test_of_two_that_make_a_stream_at_once_the_topic_of_one_stays(
    gateway: Any, streams: Streams, kafka: str
) -> None:
    one = wanted()
    two = Stream(one.name, secrets.token_hex(4), "", "", "text/plain", one.created_ms, one.touched_ms, (0,))
    (first, _), (second, _) = await asyncio.gather(streams.create(one, []), gateway.streams.create(two, []))
    assert first.topic == second.topic
    await until(lambda: topics(kafka, one.name) == [first.topic])


async def test_what_clients_that_went_wanted_written_takes_up_room_until_it_is(
    gateway: Any, streams: Streams, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = wanted(), wanted()
    await streams.create(old, [])
    append = Append([b"x" * QUEUE_BYTES], "text/plain", False, None, None)
    with held(streams, old.name, monkeypatch):
        appending = asyncio.ensure_future(streams.append(old.name, append))
        await until(lambda: streams._waiting_bytes == QUEUE_BYTES)
        await gone(appending)
        for _ in range(3):
            with pytest.raises(QueueFull):
                await asyncio.wait_for(streams.append(old.name, append), 10)
        with pytest.raises(QueueFull):
            await streams.create(new, [b"x"])
        assert not topics(kafka, new.name)
    await until(lambda: not streams._waiting_bytes)
    await streams.append(old.name, append)
    assert await gateway.read(old.name) == b"x" * 2 * QUEUE_BYTES
