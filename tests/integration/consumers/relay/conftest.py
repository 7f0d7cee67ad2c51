"""A gateway and relays for tests of the relay: real ones, in this process or beside it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from support.receiver import LOOPBACK
from support.waiting import until

from headrace.broker.properties import free_port
from headrace.consumers.reading import Reading
from headrace.consumers.relay.relay import Relay
from headrace.consumers.subscriptions import Subscriptions
from headrace.http.service import Part, serving
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import RelaySettings, ServeSettings

FEEDS = 250
QUICK: dict[str, Any] = {
    "retry_schedule_s": ",".join(["0.1", "0.2", *["0.5"] * 40]),
    "first_open_s": 0.1,
    "max_open_s": 0.5,
    "attempt_timeout_s": 2.0,
    "write_interval_s": 0.05,
    "mirror_interval_s": 0.3,
    "webhook_allow": LOOPBACK,
}


@dataclass
class Api:
    """The subscriptions API as a client uses it."""

    url: str
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str = "", **members: Any) -> tuple[int, Any]:
        """Status and body of a call."""
        body = {name.rstrip("_"): value for name, value in members.items()}
        url = f"{self.url}/v1/subscriptions{path}"
        async with self.session.request(method, url, json=body if method == "POST" else None) as answer:
            text = await answer.read()
            return answer.status, await answer.json(content_type=None) if text else None

    async def create(self, feed: str, url: str, **members: Any) -> dict[str, Any]:
        """A new subscription."""
        status, body = await self.call("POST", feed=feed, url=url, **members)
        assert status == 201, body
        created: dict[str, Any] = body
        return created

    async def show(self, name: str) -> dict[str, Any]:
        """A subscription with its status."""
        status, body = await self.call("GET", f"/{name}")
        assert status == 200, body
        shown: dict[str, Any] = body
        return shown

    async def status(self, name: str) -> dict[str, Any]:
        """How a subscription that has an owner stands."""
        found: dict[str, Any] = (await self.show(name))["status"] or {}
        return found

    async def has(self, name: str, **wanted: object) -> bool:
        """Whether members of its status are as wanted."""
        found = await self.status(name)
        return all(found.get(member) == value for member, value in wanted.items())

    async def breaker(self, name: str) -> str:
        """The state of its breaker, or nothing while it has no owner."""
        state: str = (await self.status(name)).get("breaker", {}).get("state", "")
        return state

    async def patch(self, name: str, patch: Any, *, if_match: str | None = None) -> tuple[int, Any, str]:
        """Status, body and ETag of a change by a JSON merge patch."""
        headers = {"Content-Type": "application/merge-patch+json", **({"If-Match": if_match} if if_match else {})}
        url = f"{self.url}/v1/subscriptions/{name}"
        async with self.session.patch(url, data=orjson.dumps(patch), headers=headers) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers.get("ETag", "")

    async def owner(self, name: str) -> str:
        """The address of its owner, or nothing."""
        address: str = (await self.status(name)).get("owner", "")
        return address

    async def seek(self, name: str, **members: Any) -> dict[str, Any]:
        """Move a subscription."""
        status, body = await self.call("POST", f"/{name}/seek", **members)
        assert status == 200, body
        moved: dict[str, Any] = body
        return moved


@dataclass
class Log:
    """Feeds whose definitions are there from the start, and a producer for their topics."""

    kafka: str
    feeds: Path
    _names: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        run = uuid.uuid4().hex[:6]
        names = [f"push-{run}-{number:03}" for number in range(FEEDS)]
        (self.feeds / "feeds").mkdir(parents=True)
        for name in names:
            (self.feeds / "feeds" / f"{name}.toml").write_text('description = "For a test."\nformat = "json"\n')
        self._names = iter(names)
        self._numbers = itertools.count()
        self.renew()
        self.admin = AdminClient({"bootstrap.servers": self.kafka})

    def feed(self, partitions: int = 1) -> str:
        """A feed that nobody used before."""
        name = next(self._names)
        self.topic(name, partitions)
        return name

    def topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic."""
        self.admin.create_topics([NewTopic(name, partitions, 1)])[name].result()
        # Another of the broker's threads answers who looks for it.
        deadline_s = time.monotonic() + 10
        while name not in self.admin.list_topics().topics and time.monotonic() < deadline_s:
            pass

    def renew(self) -> None:
        """A new producer: one that knows of all partitions there are now."""
        self._failed: list[KafkaError] = []
        self._producer = Producer(
            {
                "bootstrap.servers": self.kafka,
                "linger.ms": 1,
                "topic.metadata.refresh.interval.ms": 500,
                "on_delivery": self._reported,
            }
        )

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(error)

    def put(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: str | bytes | None = None,
        partition: int = -1,
        headers: Sequence[tuple[str, str | bytes]] = (),
    ) -> None:
        """Write one record as it is, and wait for its acknowledgement."""
        self.enqueue(topic, value, key=key, partition=partition, headers=headers)
        self.flush()

    def enqueue(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: str | bytes | None = None,
        partition: int = -1,
        headers: Sequence[tuple[str, str | bytes]] = (),
    ) -> None:
        """The same, acknowledged by the next `flush`."""
        self._producer.produce(topic, value, key, partition, headers=list(headers))

    def flush(self) -> None:
        """Wait for all acknowledgements."""
        assert self._producer.flush(10) == 0
        assert self._failed == []

    def send(
        self, topic: str, count: int = 1, *, key: str | None = None, partition: int = -1, timestamp_ms: int = 0
    ) -> list[str]:
        """Write events; gives their ids, once they are acknowledged."""
        ids = [f"evt-{next(self._numbers)}" for _ in range(count)]
        for event_id in ids:
            self._producer.produce(
                topic,
                b'{"id":"%s"}' % event_id.encode(),
                key=key,
                partition=partition,
                timestamp=timestamp_ms,
                headers=[("ce_id", event_id), ("ce_type", "test"), ("ce_source", "/tests")],
            )
        self.flush()
        return ids


@pytest.fixture(scope="session")
def log(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log(kafka, tmp_path_factory.mktemp("relay") / "defined")


@contextlib.asynccontextmanager
async def running_relay(log: Log, **settings: Any) -> AsyncIterator[str]:
    """A relay in this process; gives its `host:port`. It has joined the group."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    options = {**QUICK, "advertise": address, **settings}
    configured = RelaySettings(bootstrap_servers=log.kafka, feeds=log.feeds, **options)
    relay = Relay(configured, load_catalogue(configured))
    async with serving([relay], host="127.0.0.1", port=port, drain_s=2.0):
        await until(lambda: relay.trouble() is None)
        yield address


class RelayProcess:
    """`headrace relay` as a process of its own."""

    def __init__(self, log: Log, log_file: Path, **settings: Any) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log_file = log_file
        values = {**QUICK, **settings, "bootstrap_servers": log.kafka, "feeds": log.feeds, "relay_port": self.port}
        self._environ = {**os.environ, **{f"HEADRACE_{name.upper()}": str(value) for name, value in values.items()}}

    async def start(self) -> None:
        """Start, and wait until it has joined the group."""
        with self.log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "headrace", "relay", env=self._environ, stderr=output
            )
        await until(self.ready, 90)

    async def ready(self) -> bool:
        """Whether it has joined the group."""
        try:
            timeout = aiohttp.ClientTimeout(total=1)
            async with aiohttp.request("GET", f"http://{self.address}/readyz", timeout=timeout) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it."""
        self._process.send_signal(number)

    def send_if_running(self, number: signal.Signals) -> None:
        """The same, unless it has ended."""
        if self._process.returncode is None:
            self.send(number)

    async def stop(self) -> None:
        """End it cleanly."""
        if self._process.returncode is None:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), 30)

    async def kill(self) -> None:
        """End it as a crash would."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def running_gateway(log: Log, **settings: Any) -> AsyncIterator[Api]:
    """The reading and subscriptions API in this process."""
    options = {"webhook_allow": LOOPBACK, **settings}
    configured = ServeSettings(bootstrap_servers=log.kafka, feeds=log.feeds, **options)
    reading = Reading(configured, load_catalogue(configured))
    parts: list[Part] = [reading, Subscriptions(configured, reading)]
    async with (
        serving(parts, host="127.0.0.1", port=0, drain_s=2.0) as port,
        aiohttp.ClientSession() as session,
    ):
        yield Api(f"http://127.0.0.1:{port}", session)


@pytest.fixture(scope="module")
async def api(log: Log) -> AsyncIterator[Api]:
    async with running_gateway(log) as api:
        yield api


@pytest.fixture(scope="module")
async def relay(log: Log) -> AsyncIterator[str]:
    async with running_relay(log) as address:
        yield address


@pytest.fixture
async def processes(log: Log, tmp_path: Path) -> AsyncIterator[list[RelayProcess]]:
    """Two relays as processes; what is left of them is killed at the end."""
    both = [RelayProcess(log, tmp_path / f"relay-{n}.log") for n in range(2)]
    await asyncio.gather(*(process.start() for process in both))
    yield both
    for process in both:
        process.send_if_running(signal.SIGCONT)
        await process.kill()
