"""Feeds of one test, files to replay into them, and what is in the log afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from headrace.kafka.follower import consumer_config
from headrace.producers.replay.progress import Lines
from headrace.schemas.catalogue import Entry, load_catalogue
from headrace.settings import Settings, SourceSettings


@dataclass(frozen=True, slots=True)
class Stored:
    """A record in the log."""

    partition: int
    offset: int
    key: str | None
    value: bytes
    headers: dict[str, str]
    timestamp_ms: int

    @property
    def row(self) -> int:
        return int(self.headers["ce_replayrow"])


Log = Callable[[str], list[Stored]]
NewFeed = Callable[..., Entry]


class Watched(Lines):
    """Progress that a test can look at."""

    def __init__(self) -> None:
        self.events = 0

    def advance(self, events: int, time_ms: int | None) -> None:
        self.events += events
        super().advance(events, time_ms)


@pytest.fixture
def feeds(tmp_path: Path) -> Path:
    (tmp_path / "own" / "feeds").mkdir(parents=True)
    return tmp_path / "own"


@pytest.fixture
def settings(kafka: str, feeds: Path) -> SourceSettings:
    return SourceSettings(bootstrap_servers=kafka, feeds=feeds)


@pytest.fixture
def new_feed(feeds: Path) -> NewFeed:
    """Makes feeds of JSON with names of their own."""

    def make(partitions: int = 1, key: str = "who") -> Entry:
        name = f"test-{uuid.uuid4().hex[:12]}"
        definition = f'description = "A test."\nkey = "{key}"\npartitions = {partitions}\n'
        (feeds / "feeds" / f"{name}.toml").write_text(definition, "utf-8")
        return load_catalogue(Settings(feeds=feeds))[name]

    return make


@pytest.fixture
def log(kafka: str) -> Log:
    """Reads a whole topic: partition by partition, in the order of offsets."""
    return partial(read_log, kafka)


def read_log(kafka: str, topic: str) -> list[Stored]:
    consumer = Consumer({**consumer_config({"bootstrap.servers": kafka}, "test"), "enable.partition.eof": False})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return [record for partition in partitions for record in _read(consumer, topic, partition)]
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, partition: int) -> list[Stored]:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
    consumer.assign([TopicPartition(topic, partition, low)])
    records: list[Stored] = []
    while len(records) < high - low:
        for message in consumer.consume(min(5_000, high - low - len(records)), 1.0):
            assert message.error() is None, message.error()
            headers = {name: _text(value) or "" for name, value in dict(message.headers() or ()).items()}
            value, offset = message.value() or b"", message.offset() or 0
            records.append(Stored(partition, offset, _text(message.key()), value, headers, message.timestamp()[1]))
    return records


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
