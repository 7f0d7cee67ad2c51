"""What the tests of reading share: feeds of their own, the reader core over them, and a service that serves them."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from support.running import service

from headrace.broker import EmbeddedBroker
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.core.record import Record
from headrace.consumers.core.tail import Tail
from headrace.consumers.reading import Reading
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import ServeSettings

Write = Callable[..., None]
MakeFeed = Callable[..., str]
OpenTail = Callable[..., contextlib.AbstractAsyncContextManager[Tail]]
Serve = Callable[..., contextlib.AbstractAsyncContextManager[str]]
Drain = Callable[..., Awaitable[tuple[list[Record], Position]]]


@pytest.fixture
def feeds(tmp_path: Path) -> Path:
    """The directory of the test's own feeds."""
    (tmp_path / "feeds").mkdir()
    return tmp_path


@pytest.fixture
def make_feed(kafka: str, feeds: Path) -> MakeFeed:
    """Defines a feed of JSON (or of another `format`) and makes its topic; gives the name that both have."""

    def make(
        partitions: int = 1, *, extra: str = "", config: dict[str, str] | None = None, servers: str = kafka
    ) -> str:
        name = f"test.{uuid.uuid4().hex[:12]}"
        (feeds / "feeds" / f"{name}.toml").write_text(
            f'description = "A test."\npartitions = {partitions}\n{extra}', "utf-8"
        )
        make_topic(servers, name, partitions, config)
        return name

    return make


def make_topic(servers: str, name: str, partitions: int, config: dict[str, str] | None = None) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(name, partitions, 1, config=config or {})])[name].result()


@pytest.fixture
def write(kafka: str) -> Write:
    """Writes values to a topic and waits for their acknowledgement."""

    def put(
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: list[tuple[str, str | bytes | None]] | None = None,
        servers: str = kafka,
    ) -> None:
        failed: list[KafkaError] = []
        # One each time: what a producer knows of a topic does not hold once it was deleted and made again.
        producer = Producer(
            {
                "bootstrap.servers": servers,
                "linger.ms": 0,
                # Else a retry may change the order; an idempotent one would wait for half a second for its id.
                "max.in.flight": 1,
                "topic.metadata.refresh.interval.ms": 200,
            }
        )
        for value in values:
            producer.produce(
                topic,
                value,
                key,
                partition,
                headers=headers or [],
                on_delivery=lambda error, _: failed.append(error) if error is not None else None,
            )
        assert producer.flush(30) == 0
        assert not failed

    return put


@pytest.fixture
def open_tail(kafka: str, feeds: Path) -> OpenTail:
    """Opens the reader core; with `ring_bytes` 0 nothing stays in memory."""

    @contextlib.asynccontextmanager
    async def opened(
        *, ring_bytes: int = 2**24, ring_age_s: float = 300.0, servers: str = kafka
    ) -> AsyncIterator[Tail]:
        settings = ServeSettings(bootstrap_servers=servers, feeds=feeds)
        client: dict[str, Any] = {"bootstrap.servers": servers}
        tail = Tail(
            client,
            AdminClient(client),
            load_catalogue(settings),
            ring_bytes=ring_bytes,
            ring_age_s=ring_age_s,
            history_consumers=2,
        )
        try:
            yield tail
        finally:
            await tail.close()

    return opened


@pytest.fixture
def serve(kafka: str, feeds: Path) -> Serve:
    """Runs the reading API over the test's feeds; gives its URL."""

    @contextlib.asynccontextmanager
    async def running(**settings: Any) -> AsyncIterator[str]:
        chosen = ServeSettings(**{"bootstrap_servers": kafka, "feeds": feeds, **settings})
        async with service(Reading(chosen, load_catalogue(chosen))) as url:
            yield url

    return running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**24) as session:
        yield session


@pytest.fixture
def drain() -> Drain:
    """Reads from a position to the tail, page by page."""

    async def read_on(feed_log: FeedLog, position: Position, limit: int = 100) -> tuple[list[Record], Position]:
        records: list[Record] = []
        while True:
            batch = await feed_log.read(position, limit)
            assert len(batch.records) <= limit
            records += batch.records
            if not batch.records:
                return records, batch.position
            assert all(new >= old for new, old in zip(batch.position, position, strict=False))
            position = batch.position

    return read_on


@pytest.fixture(scope="session")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker that a test may stop and start again, and that compacts without waiting."""
    broker = EmbeddedBroker(
        tmp_path_factory.mktemp("broker"),
        extra_properties={"log.cleaner.backoff.ms": "200", "log.initial.task.delay.ms": "100"},
        heap_mb=256,
    )
    with broker:
        yield broker
