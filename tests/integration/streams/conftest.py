"""A worker that copies one feed to another."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support.feeds import write_feed

from headrace.schemas.catalogue import load_catalogue
from headrace.settings import WorkerSettings
from headrace.streams.worker import Worker


@dataclass(frozen=True, slots=True)
class Stream:
    """The two feeds of a test, and what is needed to look at them from outside."""

    kafka: str
    name: str
    settings: WorkerSettings

    @property
    def source(self) -> str:
        return f"{self.name}.in"

    @property
    def target(self) -> str:
        return f"{self.name}.out"

    def worker(self) -> Worker:
        return Worker(self.settings, load_catalogue(self.settings))

    def write(self, *values: str, **options: str) -> None:
        """Write JSON texts to partition 0 of the source."""
        producer = Producer({"bootstrap.servers": self.kafka, "max.in.flight": 1, **options})
        for value in values:
            producer.produce(self.source, f'"{value}"', partition=0)
        assert producer.flush(20) == 0

    def committed(self) -> int:
        """The worker's committed offset in partition 0; 0 where nothing was committed."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": self.settings.group})
        try:
            return max(consumer.committed([TopicPartition(self.source, 0)], timeout=10)[0].offset, 0)
        finally:
            consumer.close()

    def read(self, count: int) -> list[str]:
        """The first values of the target's partition 0; fails where there are fewer."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": "test"})
        consumer.assign([TopicPartition(self.target, 0, 0)])
        try:
            return [(m.value() or b"").decode().strip('"') for m in consumer.consume(count, 20)]
        finally:
            consumer.close()

    def end(self) -> int:
        """How many records the target's partition 0 holds."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": "test"})
        try:
            return consumer.get_watermark_offsets(TopicPartition(self.target, 0), timeout=10)[1]
        finally:
            consumer.close()


@pytest.fixture
def new_stream(kafka: str, tmp_path: Path) -> Callable[..., Stream]:
    def make(**target_config: str) -> Stream:
        name = f"stream-{uuid.uuid4().hex[:10]}"
        for suffix in ("in", "out"):
            write_feed(tmp_path, f"{name}.{suffix}", format="json")
        admin = AdminClient({"bootstrap.servers": kafka})
        topics = [NewTopic(f"{name}.in", 1, 1), NewTopic(f"{name}.out", 1, 1, config=target_config)]
        for future in admin.create_topics(topics).values():
            future.result()
        settings = WorkerSettings(
            bootstrap_servers=kafka,
            feeds=tmp_path,
            app="support.processors:copy",
            group=name,
            commit_interval_s=0.2,
        )
        return Stream(kafka, name, settings)

    return make
