"""The relay process: owns subscriptions, and answers calls about them."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterable, Iterator

import structlog
from aiohttp import web

from headrace import metrics
from headrace.consumers.core.tail import Tail
from headrace.consumers.relay.calls import Calls
from headrace.consumers.relay.dead_letters import DeadLetters
from headrace.consumers.relay.definition import TOPICS
from headrace.consumers.relay.equipment import Equipment
from headrace.consumers.relay.guard import Guard
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.mirror import Mirror
from headrace.consumers.relay.owned import Owned
from headrace.consumers.relay.owner import Owner
from headrace.consumers.relay.ownership import Ownership, OwnershipEnded
from headrace.consumers.relay.pull_calls import PullCalls
from headrace.consumers.relay.puller import Puller
from headrace.consumers.relay.reports import ATTEMPTS, EVENTS
from headrace.consumers.relay.resting import Resting
from headrace.consumers.relay.retention_watch import RetentionWatch
from headrace.consumers.relay.snapshot_calls import SnapshotCalls
from headrace.consumers.relay.vault import Vault
from headrace.consumers.stream_logs import StreamLogs
from headrace.durable.feeds import Feeds
from headrace.durable.table import StreamTable
from headrace.kafka.admin import admin_client
from headrace.kafka.bridge import ProducerBridge
from headrace.kafka.topics import ensure_topics
from headrace.schemas.catalogue import Catalogue
from headrace.settings import RelaySettings
from headrace.subscription_series import Reading

log = structlog.get_logger(__name__)

SLICE = 200
TOUCHED = 20
"""Of so many subscriptions one is written at each look, though it has not moved by a delivery."""
ANNOUNCE_LOOKS = 5
"""Looks between two times at which it is said again what is owned here."""
RETENTION_LOOKS = 10
"""Looks between two at what the log is about to drop."""


class Relay:
    """The part of a service that owns subscriptions: an `Owner` with what it needs, in the group of relays."""

    def __init__(self, settings: RelaySettings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._vault = Vault.of(settings)
        self._looking: asyncio.Task[None] | None = None
        self._ready = False

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Calls about one subscription, passed on by gateways. To be asked after `start`."""
        owned = Owned(self._owner, self._ownership)
        return [
            *Calls(owned, self._settings.advertised()).routes(),
            *PullCalls(owned).routes(),
            *SnapshotCalls(owned).routes(),
        ]

    async def start(self) -> None:
        """Join the relays."""
        settings, kafka = self._settings, self._settings.kafka()
        self._admin = admin = admin_client(kafka)
        self._told = [self._catalogue[feed].feed.topic_spec() for feed in (ATTEMPTS, EVENTS)]
        await ensure_topics(admin, [*TOPICS, *self._told], replication_factor=settings.replication_factor)
        self._table = StreamTable(settings, admin)
        await self._table.load()
        self._tail = Tail(
            kafka,
            admin,
            Feeds(self._catalogue, self._table),
            ring_bytes=settings.ring_bytes,
            ring_age_s=settings.ring_age_s,
            history_consumers=settings.history_consumers,
        )
        self._logs = StreamLogs(self._tail, self._catalogue, self._table)
        self._bridge = ProducerBridge(kafka, name="relay")
        self._client = HttpClient(
            settings.attempt_timeout_s,
            connect_timeout_s=settings.connect_timeout_s,
            guard=Guard(settings.webhook_allow, settings.webhook_ports),
        )
        self._mirror = Mirror(admin)
        self._retention = RetentionWatch(admin)
        equipment = Equipment(settings, self._client, self._vault)
        dead_letters = DeadLetters(admin, self._tail, settings.replication_factor)
        self._owner = owner = Owner(settings, admin, self._logs, dead_letters, self._bridge, equipment, self._mirror)
        self._table.listen(owner.standstills.changed)
        metrics.in_flight.set_function(lambda: sum(runner.in_flight for runner in list(owner.held.runners.values())))
        metrics.subscriptions.sources.add(self._readings)
        await owner.load()
        self._ownership = Ownership(kafka, gained=owner.gained, lost=owner.lost)
        self._looking = asyncio.ensure_future(self._look_after())
        self._ready = True

    def trouble(self) -> str | None:
        """Why it would not deliver now."""
        if not self._ready:
            return "the relay has not started"
        if self._ownership.ended.is_set():
            return "the relay has left the group of relays after an error; it is in the log"
        return None if self._ownership.assigned.is_set() else "the relay has not joined the group of relays yet"

    async def failed(self) -> None:
        """Wait until it has left the group of relays by itself: then it owns nothing, and must be started anew."""
        await self._ownership.ended.wait()
        raise OwnershipEnded("the relay has left the group of relays after an error; it is in the log")

    async def drain(self) -> None:
        """Hand all subscriptions over."""
        if self._ready:
            self._ready = False
            await self._ownership.close()

    async def close(self) -> None:
        """Leave Kafka."""
        if not hasattr(self, "_owner"):
            return
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        metrics.subscriptions.sources.discard(self._readings)
        await self._owner.close()
        await self._bridge.close()
        await self._logs.close()
        await self._tail.close()
        await self._table.close()
        self._client.close()

    async def _look_after(self) -> None:
        for number in itertools.count():
            await asyncio.sleep(self._settings.mirror_interval_s)
            try:
                await self._look()
                # What stands still is written now and then, so that a next owner does not read again what was skipped.
                for runner in list(self._owner.held.runners.values())[number % TOUCHED :: TOUCHED]:
                    runner.touch()
                if number % ANNOUNCE_LOOKS == 0:
                    await self._owner.announce()
                if self._owner.reports_fail:
                    await self._ensure_told()
                if number % RETENTION_LOOKS == 0:
                    await self._retention.look(self._owner.held.runners.values())
            except Exception:
                log.exception("looking_after_failed")
                metrics.errors.labels("relay").inc()

    def _readings(self) -> Iterator[Reading]:
        """How each subscription stands, for Prometheus."""
        for name, one in list(self._owner.held.runners.items()):
            hours = math.inf if one.hours_until_loss is None else one.hours_until_loss
            yield Reading(name, one.subscription.feed, one.lag, one.parked, one.breaker_number, hours)

    async def _ensure_told(self) -> None:
        """Make a topic of reports again that somebody deleted: no position moves on before its reports are written."""
        topics = [*self._told, *self._owner.dead_letters.topics]
        await ensure_topics(self._admin, topics, replication_factor=self._settings.replication_factor)

    async def _look(self) -> None:
        self._client.sweep()
        self._owner.let_go()
        metrics.resting.set(sum(isinstance(one, Resting) for one in self._owner.held.runners.values()))
        for number, (name, runner) in enumerate(list(self._owner.held.runners.items())):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)  # of thousands, some at a time
            if self._owner.held.runners.get(name) is not runner:
                continue
            if runner.feed_log.gone:
                self._owner.reconcile_soon(name)
            elif isinstance(runner, Puller) and runner.idle:
                self._owner.rest_soon(name)
        await self._mirror.show(self._owner.held.runners)
