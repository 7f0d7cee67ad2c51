"""The relay process: runs the subscriptions whose state it owns, and answers calls about them."""

from __future__ import annotations

import asyncio
import weakref
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
from headrace.consumers.core.position import MalformedPosition, Position, PositionError, PositionGone
from headrace.consumers.core.tail import Tail, UnknownFeed
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
from headrace.consumers.relay.state import Stored, base_record, stored, subscription_of
from headrace.consumers.subscription_request import start_position
from headrace.http.problems import Problem
from headrace.kafka.bridge import Outgoing, ProducerBridge, QueueFull, Undelivered
from headrace.kafka.offsets import KafkaUnavailable, UnknownTopic
from headrace.kafka.table import Table
from headrace.kafka.topics import ensure_topics
from headrace.schemas.avro_json import to_json
from headrace.schemas.catalogue import Catalogue
from headrace.schemas.event import new_id, now
from headrace.settings import RelaySettings

log = structlog.get_logger(__name__)

AGAIN_S = 2.0
"""Pause before what could not be done is tried again."""


class Relay:
    """The part of a service that owns subscriptions.

    A subscription runs here while its definition is active, its partition of `headrace.positions` is ours and read to
    its end. Every change of one of these ends in `_reconcile`, one at a time for each subscription.
    """

    def __init__(self, settings: RelaySettings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._runners: dict[str, Runner] = {}
        # What was found in the partitions that are ours, by `state_key`, until it is taken up.
        self._owned: dict[int, dict[str, Stored]] = {}
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
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
        metrics.in_flight.set_function(lambda: sum(runner.in_flight for runner in list(self._runners.values())))
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
        if self._ownership.ended:
            return "the relay has left the group of relays after an error; it is in the log"
        return None if self._ownership.assigned.is_set() else "the relay has not joined the group of relays yet"

    async def drain(self) -> None:
        """Hand all subscriptions over."""
        if self._ready:
            self._ready = False
            await self._ownership.close()

    async def close(self) -> None:
        """Leave Kafka."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
        found: dict[str, Stored] = {}
        for state_key, of_one in records.items():
            try:
                found[state_key] = stored(of_one)
            except (ValueError, LookupError, TypeError) as error:
                # Begun anew it repeats events, which is better than to stand still.
                log.error("state_unreadable", subscription=state_key.split("\0")[0], reason=repr(error))
                metrics.errors.labels("relay").inc()
        self._owned[partition] = found
        self._spawn(self._take_up(partition, found, list(entries)))

    async def _take_up(self, partition: int, found: dict[str, Stored], keys: list[bytes]) -> None:
        while True:
            if self._owned.get(partition) is not found:
                return  # lost again in the meantime
            try:
                await self._announce(partition)
                await self._definitions.catch_up()
                break
            except (Undelivered, QueueFull, KafkaUnavailable) as error:
                log.warning("partition_not_taken_up", partition=partition, reason=str(error))
            await asyncio.sleep(AGAIN_S)
        names = [name for name in self._definitions if position_partition(name) == partition]
        log.debug("partition_owned", partition=partition, subscriptions=len(names))
        known = {self._definitions[name].state_key for name in names}
        # Of subscriptions that were deleted while nobody owned them.
        left: defaultdict[str, list[bytes]] = defaultdict(list)
        for key in keys:
            if (state_key := subscription_of(key)) not in known:
                left[state_key].append(key)
        for state_key, left_keys in left.items():
            found.pop(state_key, None)
            await self._forget(state_key, left_keys)
        await asyncio.gather(*(self._reconcile(name) for name in names))

    async def _lost(self, partitions: list[int]) -> None:
        for partition in partitions:
            self._owned.pop(partition, None)
        # Those that are being changed are locked: they must have ended, too, before another owner goes on.
        names = {name for name in (*self._runners, *self._locks) if position_partition(name) in partitions}
        results = await asyncio.gather(*(self._reconcile(name) for name in names), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                log.error("subscription_not_handed_over", exc_info=result)
                metrics.errors.labels("relay").inc()

    async def _announce(self, partition: int) -> None:
        value = orjson.dumps({"address": self._settings.advertised(), "since": now()})
        await self._bridge.write([Outgoing(OWNERS.name, str(partition).encode(), value)])

    def _lock(self, name: str) -> asyncio.Lock:
        """The lock of a subscription: there while somebody uses it."""
        if (lock := self._locks.get(name)) is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def _reconcile(self, name: str) -> None:
        """Make what runs equal to what should."""
        partition = position_partition(name)
        async with self._lock(name):
            runner, wanted = self._runners.get(name), self._definitions.get(name)
            if runner is not None and (
                partition not in self._owned or runner.subscription != wanted or runner.feed_log.gone
            ):
                await self._stop(runner)
                wanted = self._definitions.get(name)
                await self._put_back(runner, wanted)
            if wanted is not None and partition in self._owned and name not in self._runners:
                await self._run(wanted, self._owned[partition])
            metrics.owned.set(len(self._runners))

    async def _stop(self, runner: Runner) -> None:
        name = runner.subscription.id
        del self._runners[name]
        await runner.stop()
        metrics.forget_subscription(name, runner.subscription.feed)

    async def _put_back(self, runner: Runner, wanted: Subscription | None) -> None:
        """Keep the state of what was stopped for its next runner, or remove it with its subscription."""
        old = runner.subscription
        owned = self._owned.get(position_partition(old.id))
        if owned is None:
            return
        if wanted is not None and wanted.state_key == old.state_key:
            owned[old.state_key] = runner.stored()
        else:
            await self._forget(old.state_key, runner.stored().keys(old.state_key))
            await self._mirror.forget(old.id)

    async def _forget(self, state_key: str, keys: list[bytes]) -> None:
        """Remove what was kept of a deleted subscription."""
        name = state_key.split("\0")[0]
        try:
            await self._journal.write(name, [(key, None) for key in keys])
        except (Undelivered, QueueFull) as error:
            # Whoever takes the partition up next finds it and tries again.
            log.warning("state_not_removed", subscription=name, reason=str(error))

    async def _run(self, subscription: Subscription, owned: dict[str, Stored]) -> None:
        found = owned.get(subscription.state_key) or Stored()
        try:
            feed_log = await self._tail.log(subscription.feed)
            try:
                start = await feed_log.resolve(found.base or subscription.start)
            except PositionGone as error:
                found, start = await self._start_over(subscription, found, feed_log, error)
            endpoint = Endpoint(self._client, subscription.url, subscription.secret)
        except (
            UnknownFeed,
            UnknownTopic,
            KafkaUnavailable,
            Undelivered,
            QueueFull,
            ValueError,
            MalformedPosition,
        ) as error:
            log.warning("subscription_not_started", subscription=subscription.id, reason=repr(error))
            self._spawn(self._reconcile_later(subscription.id))
            return
        # While we waited it may have gone to another owner; a change of its definition waits for our lock.
        if self._owned.get(position_partition(subscription.id)) is owned:
            owned.pop(subscription.state_key, None)
            self._start(subscription, found, start, feed_log, endpoint)

    async def _start_over(
        self, subscription: Subscription, found: Stored, feed_log: FeedLog, error: PositionGone
    ) -> tuple[Stored, Position]:
        """The feed's topic was deleted and made again: offsets of the old one say nothing. Begin with all it has."""
        log.error("subscription_starts_over", subscription=subscription.id, reason=str(error))
        metrics.errors.labels("retention").inc()
        started = Stored(found.epoch + 1, feed_log.token(error.earliest))
        stale = [(key, None) for key in found.keys(subscription.state_key)[1:]]
        base = base_record(subscription.state_key, started.epoch, feed_log.token(error.earliest))
        await self._journal.write(subscription.id, [base, *stale])
        return started, error.earliest

    async def _reconcile_later(self, name: str) -> None:
        await asyncio.sleep(AGAIN_S)
        await self._reconcile(name)

    def _start(
        self, subscription: Subscription, found: Stored, start: Position, feed_log: FeedLog, endpoint: Endpoint
    ) -> None:
        self._runners[subscription.id] = Runner(
            subscription, found, start, feed_log, endpoint, self._journal, self._slots, self._settings
        )

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(self._settings.mirror_interval_s)
            try:
                await self._look()
            except Exception:
                log.exception("looking_after_failed")
                metrics.errors.labels("relay").inc()

    async def _look(self) -> None:
        self._client.sweep()
        for name, runner in list(self._runners.items()):
            labels = (name, runner.subscription.feed)
            metrics.subscription_lag.labels(*labels).set(runner.lag)
            metrics.subscription_parked.labels(*labels).set(runner.parked)
            if runner.feed_log.gone:
                self._spawn(self._reconcile(name))
        await self._mirror.show(self._runners)

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
        async with self._lock(name):
            runner = self._runner(request)
            try:
                position = await start_position(await request.read(), runner.feed_log)
            except PositionError as error:
                raise Problem(HTTPStatus.BAD_REQUEST, f"offset: {error}") from None
            await self._move(runner, position)
        return await self._status(request)

    async def _move(self, runner: Runner, position: Position) -> None:
        """Go on from another position under a new epoch. Once begun it is carried out, as soon as Kafka answers."""
        subscription, feed_log = runner.subscription, runner.feed_log
        owned = self._owned.get(position_partition(subscription.id))
        await self._stop(runner)
        moved = Stored(runner.epoch + 1, feed_log.token(position))
        base = base_record(subscription.state_key, moved.epoch, feed_log.token(position))
        stale = [(key, None) for key in runner.stored().keys(subscription.state_key)[1:]]
        while owned is not None and self._owned.get(position_partition(subscription.id)) is owned:
            try:
                await self._journal.write(subscription.id, [base, *stale])
            except (Undelivered, QueueFull) as error:
                log.warning("subscription_not_moved_yet", subscription=subscription.id, reason=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            endpoint = Endpoint(self._client, subscription.url, subscription.secret)
            self._start(subscription, moved, position, feed_log, endpoint)
            log.info("subscription_moved", subscription=subscription.id, epoch=moved.epoch)
            return

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
