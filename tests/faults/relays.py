"""Gateways, relays and a feed on a stage, events that are written to it without end, and the subscriptions' API."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from confluent_kafka import KafkaError, Message, Producer
from faults.deliveries import Event
from faults.failing import TIMEOUT_S
from faults.services import Service
from faults.stage import Stage
from support.feeds import write_feed
from support.records import records_of
from support.waiting import until

FEED = "orders"
DEAD = f"{FEED}.dead"
LANES = 3
KEYS = 40
KINDS = ("blue", "green")

ENVIRONMENT = {
    "HEADRACE_RETRY_SCHEDULE_S": "0.1,0.2,0.4,0.6,1,1.5,2,2.5,3",
    "HEADRACE_ATTEMPT_TIMEOUT_S": str(TIMEOUT_S),
    "HEADRACE_FIRST_OPEN_S": "0.2",
    "HEADRACE_MAX_OPEN_S": "1",
    "HEADRACE_LOG_LEVEL": "info",
}


class Relays:
    """`gateways` and `relays` are the services. Calls go to the first gateway unless another is named."""

    def __init__(self, stage: Stage, directory: Path) -> None:
        self.stage = stage
        self.servers = stage.broker.bootstrap_servers
        self.gateways: list[Service] = []
        self.relays: list[Service] = []
        self._directory = directory
        write_feed(directory, FEED, format="json", partitions=LANES)

    async def start(self, *, relays: int = 2, gateways: int = 1, environ: Mapping[str, str] = ENVIRONMENT) -> None:
        """Start them, and wait until they are ready."""
        all_environ = {**environ, "HEADRACE_FEEDS": str(self._directory)}
        self.gateways = [self.stage.service(f"gateway-{n}", **all_environ) for n in range(gateways)]
        self.relays = [self.stage.service(f"relay-{n}", **all_environ) for n in range(relays)]
        await self.stage.ready()

    # The API

    async def call(
        self,
        method: str,
        path: str = "",
        body: Any = None,
        *,
        gateway: int = 0,
        if_match: str | None = None,
        timeout_s: float = 60,
    ) -> tuple[int, Any]:
        """Status and body of a call; raises TimeoutError."""
        url = f"{self.gateways[gateway].url}/v1/subscriptions{path}"
        headers = {} if if_match is None else {"If-Match": if_match}
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.request(method, url, json=body, headers=headers, timeout=timeout) as answer:
            text = await answer.read()
            return answer.status, await answer.json(content_type=None) if text else None

    async def create(self, name: str, url: str, **members: Any) -> None:
        """A new subscription, from the beginning unless it says otherwise."""
        wanted = {"feed": FEED, "name": name, "url": url, "offset": "-1", **members}
        code, body = await self.call("POST", body=wanted)
        assert code == 201, body
        await until(lambda: self.owner(name))

    async def show(self, name: str) -> dict[str, Any]:
        """A subscription with its status."""
        code, body = await self.call("GET", f"/{name}")
        assert code == 200, body
        shown: dict[str, Any] = body
        return shown

    async def status(self, name: str) -> dict[str, Any]:
        """How it stands at its owner; empty where it has none."""
        found: dict[str, Any] = (await self.show(name))["status"] or {}
        return found

    async def has(self, name: str, **wanted: object) -> bool:
        """Whether it stands so at its owner."""
        found = await self.status(name)
        return all(found.get(member) == value for member, value in wanted.items())

    async def owner(self, name: str) -> Service | None:
        """The relay that runs it."""
        address = (await self.status(name)).get("owner", "-")
        return next((relay for relay in self.relays if relay.url.endswith(address)), None)

    async def owned_by(self, name: str, relay: Service) -> bool:
        """Whether a relay runs it."""
        return await self.owner(name) is relay

    async def other(self, relay: Service) -> Service:
        """One of the relays beside this one."""
        return next(one for one in self.relays if one is not relay)

    async def seek(self, name: str, offset: str) -> int:
        """Move it; gives the epoch that began by it."""
        code, body = await self.call("POST", f"/{name}/seek", {"offset": offset})
        assert code == 200, body
        epoch: int = body["status"]["epoch"]
        return epoch

    async def quiet(self, names: list[str], timeout_s: float = 120) -> None:
        """Wait until these have nothing left to do."""
        for name in names:
            await until(partial(self.has, name, lag=0, in_flight=0, parked=0), timeout_s, every_s=0.2)

    async def dead_letters(self) -> dict[str, dict[str, int]]:
        """By subscription the dead letters' ids, with the attempts that were made."""
        found: dict[str, dict[str, int]] = {}
        for letter in await asyncio.to_thread(records_of, self.servers, DEAD, 0):
            headers = {name: _text(value) for name, value in letter.headers() or []}  # type: ignore[str-unpack]
            of_one = found.setdefault(headers["ce_deadlettersubscription"], {})
            event_id, attempts = headers["ce_id"], int(headers["ce_deadletterattempts"])
            of_one[event_id] = min(attempts, of_one.get(event_id, attempts))
        return found


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


class Load:
    """Writes events to the feed, some in each hundredth of a second, until it is told to stop or has written `most`.

    `acknowledged` holds the events by their ids, `places` their partitions and offsets.
    """

    def __init__(self, servers: str, per_s: float, name: str = "e", most: float = math.inf) -> None:
        self.acknowledged: dict[str, Event] = {}
        self.places: dict[str, tuple[int, int]] = {}
        self._name = name
        self._servers = servers
        self._per_s = per_s
        self._most = most
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._task = asyncio.ensure_future(asyncio.to_thread(self._run))

    def _run(self) -> None:
        producer = Producer({"bootstrap.servers": self._servers, "enable.idempotence": True, "linger.ms": 2})
        begun_s = time.monotonic()
        sent = 0
        while not self._stopping.is_set():
            while sent < min((time.monotonic() - begun_s) * self._per_s, self._most):
                self._send(producer)
                sent += 1
            producer.poll(0.01)
        assert producer.flush(60) == 0

    def _send(self, producer: Producer) -> None:
        number = next(self._numbers)
        event = Event(number, f"{self._name}-{number}", f"k{number % KEYS}", KINDS[number % len(KINDS)])
        producer.produce(
            FEED,
            b'{"n":%d,"kind":"%s"}' % (number, event.kind.encode()),
            event.key,
            headers=[("ce_id", event.id), ("ce_type", "order"), ("ce_source", "/tests")],
            on_delivery=partial(self._delivered, event),
        )

    def _delivered(self, event: Event, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.places[event.id] = (message.partition() or 0, message.offset() or 0)
            self.acknowledged[event.id] = event

    async def stop(self) -> None:
        """Stop, once all that was sent has its verdict; raises what went wrong."""
        self._stopping.set()
        await asyncio.wait_for(self._task, 90)

    async def __aenter__(self) -> Load:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def written(servers: str, count: int, name: str) -> dict[str, Event]:
    """Write so many events, and wait for their acknowledgements."""
    async with Load(servers, 1000, name, count) as load:
        await until(lambda: len(load.acknowledged) == count)
    return load.acknowledged
