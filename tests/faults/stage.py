"""One stage for each test: a broker of its own, the services, and readers that note what they see in a ledger."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from faults.ledger import Consumer as Reader
from faults.ledger import Ledger
from faults.services import Service, steady_port
from support.receiver import LOOPBACK, Answer, Delivery, Receiver, receiver, status
from support.records import records_of
from support.waiting import until

from headrace.broker import EmbeddedBroker
from headrace.client import Checkpoint, Client, Subscription
from headrace.kafka.offsets import Offsets
from headrace.schemas.catalogue import Catalogue, load_catalogue
from headrace.schemas.event import to_structured_json
from headrace.secret_keys import new_secret_key
from headrace.settings import Settings, WorkerSettings

DEPARTURES = "flights.departures"
ENRICHED = "flights.enriched"
PARTITIONS = 6

PATIENCE_S = 120.0
"""How long whatever was killed may take to catch up, on a machine that does other things as well."""

ENVIRONMENT = {
    "HEADRACE_LOG_FORMAT": "json",
    "HEADRACE_RETRY_SCHEDULE_S": ",".join(["0.2", "0.5", *["2"] * 40]),
    "HEADRACE_FIRST_OPEN_S": "0.2",
    "HEADRACE_MAX_OPEN_S": "2",
    "HEADRACE_SECRET_KEYS": new_secret_key(),
    "HEADRACE_WEBHOOK_ALLOW": LOOPBACK,
}


class Stage:
    """The broker and what runs beside it."""

    def __init__(self, directory: Path, broker: EmbeddedBroker) -> None:
        self.broker = broker
        self.ledger = Ledger()
        self.catalogue: Catalogue = load_catalogue(Settings(bootstrap_servers=broker.bootstrap_servers))
        self.services: dict[str, Service] = {}
        self.pushed = self.ledger.consumer("pushed", ENRICHED)
        self.pulled = self.ledger.consumer("pulled", ENRICHED)
        self._directory = directory
        self._offsets = Offsets(AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0}))
        self._puller: asyncio.Task[None] | None = None
        self._watched: list[asyncio.Task[None]] = []
        self._crash_puller = False
        self._refused = 0

    # Services

    def service(self, name: str, *arguments: str, **environ: str) -> Service:
        """Start a service under a name of its own; `gateway-2` runs `headrace gateway`, unless `arguments` differ."""
        command = arguments or (name.split("-")[0],)
        port = steady_port()
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        own = {
            "HEADRACE_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            f"HEADRACE_{command[0].upper()}_PORT": str(port),
        }
        log_file = self._directory / f"{name}.log"
        service = Service(name, command, port, clean | ENVIRONMENT | own | environ, log_file)
        self.services[name] = service
        service.start()
        return service

    async def ready(self) -> None:
        """Wait for all services."""
        await asyncio.gather(*(service.ready() for service in self.services.values()))

    async def stop(self) -> None:
        """End all services cleanly; raises what went wrong with the reader or with one of them once all have ended."""
        ending = [self.end_puller(), *(service.stop() for service in self.services.values())]
        for result in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    # Readers

    def pull(self, gateway: str) -> None:
        """Follow the enriched flights from the beginning, with a checkpoint."""
        self._puller = asyncio.ensure_future(self._pull(gateway, Checkpoint(self._directory / "position", ENRICHED)))
        self.watch(self._puller)

    async def _pull(self, gateway: str, checkpoint: Checkpoint) -> None:
        while True:
            async with Client(gateway) as client:
                async for page in client.read(ENRICHED, offset=checkpoint.load(), follow=True):
                    for event in page.events:
                        self.pulled.saw(event.raw)
                    if self._crash_puller:
                        self._crash_puller = False
                        break
                    checkpoint.save(page.next_offset)

    def crash_puller(self) -> None:
        """Let the reader end after its next page, before it keeps the position, and start again."""
        self._crash_puller = True

    async def end_puller(self) -> None:
        """Stop following; raises what the reader raised."""
        if self._puller is not None:
            self._puller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._puller
            self._puller = None

    @contextlib.asynccontextmanager
    async def endpoint(self) -> AsyncIterator[Receiver]:
        """A webhook receiver for `subscribe`. Of every hundred deliveries it refuses one."""
        async with receiver() as receiving:
            yield receiving

    async def subscribe(self, gateway: str, receiving: Receiver) -> Subscription:
        """Have the enriched flights pushed, in order for each key, and wait until a relay does."""
        async with Client(gateway) as client:
            made = await client.subscriptions.create(
                ENRICHED, receiving.url, name="faults", ordering="key", offset="-1"
            )
            receiving.choose = lambda delivery: self._answer(delivery, made.secret or "")
            await until(lambda: self._status(client), 30)
        return made

    async def _status(self, client: Client) -> Any:
        return (await client.subscriptions.get("faults")).status

    def _answer(self, delivery: Delivery, secret: str) -> Answer:
        delivery.check(secret)
        event = orjson.loads(delivery.body)
        if len(self.pushed.sightings) % 100 == 99 and self._refused <= len(self.pushed.sightings) // 100:
            self._refused += 1
            return status(503)
        assert delivery.id == event["id"]
        self.pushed.saw(event)
        return status(204)

    # Looking

    def watch(self, task: asyncio.Task[None]) -> None:
        """From now on `until` raises what the task raises."""
        self._watched.append(task)

    async def until(
        self, condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = PATIENCE_S, *, every_s: float = 0.1
    ) -> None:
        """Wait for a condition, and for no longer than the readers and writers work."""

        async def met() -> bool:
            for task in self._watched:
                if task.done() and not task.cancelled():
                    task.result()
            answer = condition()
            return await answer if inspect.isawaitable(answer) else answer

        try:
            await until(met, timeout_s, every_s=every_s)
        except AssertionError:
            seen = {name: consumer.account for name, consumer in self.ledger.consumers.items()}
            what = inspect.getsource(condition).strip()
            raise AssertionError(
                f"not within {timeout_s:g} s: {what}\n{self.ledger.acknowledgements} acknowledged; seen: {seen}"
            ) from None

    async def end(self, topic: str) -> int:
        """How many records a topic holds."""
        return sum(await self._offsets.ends(topic, PARTITIONS))

    def committed(self, topic: str) -> int:
        """How many records of a topic the workers have committed. Blocks."""
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap_servers, "group.id": WorkerSettings().group})
        try:
            partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
            return sum(max(tp.offset, 0) for tp in consumer.committed(partitions, timeout=10))
        finally:
            consumer.close()

    async def quiet(self, gateway: str) -> None:
        """Wait until every consumer has seen what is acknowledged, and the relay has nothing left to do."""
        for consumer in (self.pulled, self.pushed):
            await self.until_seen(consumer)
        async with Client(gateway) as client:

            async def idle() -> bool:
                now = await self._status(client)
                return now is not None and now.lag == now.in_flight == now.parked == 0

            await self.until(idle)

    async def reached_by_all(self) -> None:
        """Wait until events that are acknowledged from now on were pulled and pushed, of every partition."""
        since = self.ledger.acknowledgements

        async def reached() -> bool:
            new = self.ledger.acknowledged_after(since)
            return all(
                len({event.place[0] for event_id in new if (event := consumer.first.get(event_id))}) == PARTITIONS
                for consumer in (self.pulled, self.pushed)
            )

        await self.until(reached)

    async def until_seen(self, consumer: Reader) -> None:
        """Wait until a consumer has seen all that is acknowledged."""
        await self.until(lambda: self.ledger.missing(consumer) == 0)

    def forget(self, consumer: Reader) -> None:
        """Take a consumer that a test does without out of the ledger."""
        del self.ledger.consumers[consumer.name]

    async def read(self, feed: str) -> Reader:
        """All that lies in a feed's topic, as a plain consumer sees it; a consumer of the ledger too."""
        consumer = self.ledger.consumer(f"log of {feed}", feed)
        entry = self.catalogue[feed]
        messages = await asyncio.to_thread(records_of, self.broker.bootstrap_servers, entry.feed.topic, 0, 60.0)
        for message in messages:
            consumer.saw(structured(message, self.catalogue, feed))
        return consumer


def structured(message: Message, catalogue: Catalogue, feed: str) -> dict[str, Any]:
    """A record as a CloudEvent."""
    defaults = {"type": catalogue[feed].feed.event_type, "source": f"/feeds/{feed}"}
    event: dict[str, Any] = orjson.loads(
        to_structured_json(
            catalogue[feed].codec,
            defaults,
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp_ms=message.timestamp()[1],
            key=message.key(),
            value=message.value(),
            headers=message.headers(),  # type: ignore[arg-type]
        )
    )
    return event
