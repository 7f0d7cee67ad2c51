"""The relay process: runs the subscriptions whose state it owns, and answers calls about them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from aiohttp import web
from confluent_kafka.admin import AdminClient

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import MalformedPosition, Position, PositionError, widen
from headrace.consumers.core.tail import Tail, UnknownFeed
from headrace.consumers.core.token import decode_token
from headrace.consumers.relay.attempt import Endpoint
from headrace.consumers.relay.definition import (
    OWNERS,
    SUBSCRIPTIONS,
    TOPICS,
    Subscription,
    position_partition,
)
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.mirror import Mirror
from headrace.consumers.relay.ownership import Entries, Ownership
from headrace.consumers.relay.runner import Runner
from headrace.consumers.relay.state import Stored, base_key, base_record, stored, subscription_of
from headrace.consumers.subscription_request import start_position
from headrace.http.problems import Problem
from headrace.kafka.bridge import Outgoing, ProducerBridge
from headrace.kafka.offsets import KafkaUnavailable, UnknownTopic
from headrace.kafka.table import Table
from headrace.kafka.topics import ensure_topics
from headrace.schemas.avro_json import to_json
from headrace.schemas.catalogue import Catalogue
from headrace.schemas.event import new_id, now
from headrace.settings import RelaySettings

log = structlog.get_logger(__name__)

AGAIN_S = 2.0
"""Pause before a subscription that could not be started is tried again."""


class Relay:
    """The part of a service that owns subscriptions.

    A subscription runs here while its definition is active, its partition of `headrace.positions` is ours and read to
    its end. Every change of one of these ends in `_reconcile`, one at a time for each subscription.
    """

    def __init__(self, settings: RelaySettings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._runners: dict[str, Runner] = {}
        self._owned: dict[int, dict[str, Stored]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = False

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Calls about one subscription, passed on by gateways. A wrong owner answers 421."""
        return [
            web.get("/v1/subscriptions/{id}", self._status),
            web.post("/v1/subscriptions/{id}/seek", self._seek),
            web.post("/v1/subscriptions/{id}/test", self._test),
        ]

    async def start(self) -> None:
        """Join the relays."""
        settings, kafka = self._settings, self._settings.kafka()
        self._admin = AdminClient(kafka)
        await ensure_topics(self._admin, TOPICS, replication_factor=settings.replication_factor)
        self._tail = Tail(
            kafka,
            self._admin,
            self._catalogue,
            ring_bytes=settings.ring_bytes,
            ring_age_s=settings.ring_age_s,
            history_consumers=settings.history_consumers,
        )
        self._bridge = ProducerBridge(kafka, name="relay")
        self._journal = Journal(self._bridge, settings.write_interval_s)
        self._client = HttpClient(settings.attempt_timeout_s)
        self._slots = asyncio.Semaphore(settings.total_in_flight)
        self._mirror = Mirror(self._admin)
        self._definitions = Table(kafka, self._admin, SUBSCRIPTIONS.name, Subscription.from_bytes, self._defined)
        await self._definitions.load()
        self._ownership = Ownership(kafka, gained=self._gained, lost=self._lost)
        self._spawn(self._look_after())
        self._ready = True

    def trouble(self) -> str | None:
        """Why it would not deliver now."""
        if not self._ready:
            return "the relay has not started"
        return None if self._ownership.assigned.is_set() else "the relay has not joined the group of relays yet"

    async def drain(self) -> None:
        """Hand all subscriptions over."""
        if self._ready:
            self._ready = False
            await self._ownership.close()

    async def close(self) -> None:
        """Leave Kafka."""
        for task in self._tasks:
            task.cancel()
        if not hasattr(self, "_definitions"):
            return
        await self._definitions.close()
        await self._journal.close()
        await self._bridge.close()
        await self._tail.close()
        self._client.close()

    # What decides who runs

    def _defined(self, name: str, subscription: Subscription | None) -> None:
        if position_partition(name) in self._owned:
            self._spawn(self._reconcile(name))

    def _gained(self, partition: int, entries: Entries) -> None:
        records: defaultdict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
        for key, value in entries.items():
            records[subscription_of(key)].append((key, value))
        self._owned[partition] = {name: stored(found) for name, found in records.items()}
        self._spawn(self._take_up(partition, records))

    async def _take_up(self, partition: int, records: dict[str, list[tuple[bytes, bytes]]]) -> None:
        await self._announce(partition)
        await self._definitions.catch_up()
        names = [name for name in self._definitions if position_partition(name) == partition]
        log.debug("partition_owned", partition=partition, subscriptions=len(names))
        for name in records.keys() - set(names):
            # Deleted while nobody owned it.
            await self._journal.write(name, [(key, None) for key, _ in records[name]])
        await asyncio.gather(*(self._reconcile(name) for name in names))

    async def _lost(self, partitions: list[int]) -> None:
        for partition in partitions:
            self._owned.pop(partition, None)
        names = [name for name in self._runners if position_partition(name) in partitions]
        await asyncio.gather(*(self._reconcile(name) for name in names))

    async def _announce(self, partition: int) -> None:
        value = orjson.dumps({"address": self._settings.advertised(), "since": now()})
        await self._bridge.write([Outgoing(OWNERS.name, str(partition).encode(), value)])

    async def _reconcile(self, name: str) -> None:
        """Make what runs equal to what should."""
        async with self._locks[name]:
            runner, wanted = self._runners.get(name), self._definitions.get(name)
            owned = self._owned.get(position_partition(name))
            if runner is not None and (owned is None or runner.subscription != wanted):
                del self._runners[name]
                await runner.stop()
                if owned is not None:
                    owned[name] = runner.stored()
                if owned is not None and wanted is None:
                    await self._remove(runner)
            if owned is not None and wanted is not None and name not in self._runners:
                await self._run(wanted, owned.get(name, Stored()))
            metrics.owned.set(len(self._runners))

    async def _run(self, subscription: Subscription, found: Stored) -> None:
        try:
            feed_log = await self._tail.log(subscription.feed)
            start, _ = decode_token(subscription.start)
        except (UnknownFeed, UnknownTopic, KafkaUnavailable, MalformedPosition) as error:
            log.warning("subscription_not_started", subscription=subscription.id, reason=repr(error))
            asyncio.get_running_loop().call_later(AGAIN_S, lambda: self._spawn(self._reconcile(subscription.id)))
            return
        self._start(subscription, found, start, feed_log)

    def _start(self, subscription: Subscription, found: Stored, start: Position, feed_log: FeedLog) -> None:
        endpoint = Endpoint(self._client, subscription.url, subscription.secret)
        self._runners[subscription.id] = Runner(
            subscription, found, start, feed_log, endpoint, self._journal, self._slots, self._settings
        )

    async def _remove(self, runner: Runner) -> None:
        """A deleted subscription leaves nothing behind."""
        name = runner.subscription.id
        await self._journal.write(name, [(key, None) for key in (*runner.state_keys(), base_key(name))])
        await self._mirror.forget(name)
        metrics.forget_subscription(name, runner.subscription.feed)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(self._settings.mirror_interval_s)
            self._client.sweep()
            runners = list(self._runners.values())
            for runner in runners:
                labels = (runner.subscription.id, runner.subscription.feed)
                metrics.subscription_lag.labels(*labels).set(runner.lag)
                metrics.subscription_parked.labels(*labels).set(runner.parked)
            await self._mirror.show(runners)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("relay_task_failed", exc_info=error)
            metrics.errors.labels("relay").inc()

    # Calls about one subscription

    async def _status(self, request: web.Request) -> web.Response:
        runner = self._runner(request)
        body = {
            **runner.subscription.public(),
            "status": {"owner": self._settings.advertised(), **runner.status()},
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _seek(self, request: web.Request) -> web.Response:
        name = self._runner(request).subscription.id
        async with self._locks[name]:
            runner = self._runner(request)
            try:
                position = await start_position(await request.read(), runner.feed_log)
            except PositionError as error:
                raise Problem(HTTPStatus.BAD_REQUEST, f"offset: {error}") from None
            await runner.stop()
            epoch = runner.epoch + 1
            position = widen(position, len(runner.feed_log.rings))
            stale = [(key, None) for key in runner.state_keys()]
            await self._journal.write(name, [base_record(name, epoch, position), *stale])
            found = Stored(epoch, position)
            self._start(runner.subscription, found, position, runner.feed_log)
        log.info("subscription_moved", subscription=name, epoch=epoch)
        return await self._status(request)

    async def _test(self, request: web.Request) -> web.Response:
        runner = self._runner(request)
        subscription = runner.subscription
        event_id = new_id()
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": f"/subscriptions/{subscription.id}",
            "type": "headrace.test",
            "time": now(),
            "datacontenttype": "application/json",
            "data": {"subscription": subscription.id, "feed": subscription.feed},
        }
        outcome = await Endpoint(self._client, subscription.url, subscription.secret).deliver(event_id, to_json(event))
        body = {
            "delivered": outcome.delivered,
            "status": outcome.status,
            "seconds": round(outcome.seconds, 4),
            "error": outcome.error,
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    def _runner(self, request: web.Request) -> Runner:
        runner = self._runners.get(request.match_info["id"])
        if runner is None:
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST, "This relay does not run the subscription; ask a gateway for its owner."
            )
        return runner
