"""Which subscriptions run here: those whose state this relay owns."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from typing import Any, cast

import orjson
import structlog
from confluent_kafka.admin import AdminClient

from headrace import metrics
from headrace.consumers.core.tail import UnknownFeed
from headrace.consumers.relay.dead_letters import DeadLetters
from headrace.consumers.relay.definition import OWNERS, Subscription, position_partition
from headrace.consumers.relay.definitions import Definitions
from headrace.consumers.relay.equipment import Equipment
from headrace.consumers.relay.holdings import Holdings, Kept
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.lineup import now_ms
from headrace.consumers.relay.maker import Maker
from headrace.consumers.relay.mirror import Mirror
from headrace.consumers.relay.moves import AGAIN_S, Moves
from headrace.consumers.relay.ownership import Entries
from headrace.consumers.relay.puller import Puller
from headrace.consumers.relay.reports import event
from headrace.consumers.relay.resting import Resting
from headrace.consumers.relay.running import Running, Standing
from headrace.consumers.relay.standstills import Standstills
from headrace.consumers.relay.starting import NOT_NOW, Starting
from headrace.consumers.relay.state import Stored, endpoint_key, name_of, stored, subscription_of
from headrace.consumers.stream_logs import StreamLogs
from headrace.kafka.bridge import Outgoing, ProducerBridge, QueueFull, Undelivered
from headrace.kafka.offsets import KafkaUnavailable, UnknownTopic
from headrace.schemas.event import now
from headrace.settings import RelaySettings

log = structlog.get_logger(__name__)

TOGETHER = 50
"""Subscriptions of a partition that are taken up at a time: a task for each of all would take more than they do."""


class Owner:
    """Runs the subscriptions that this relay owns.

    A subscription runs here while its definition is active, its partition of `headrace.positions` is ours and read to
    its end. Every change of one of these ends in `_reconcile`, one at a time for each subscription.
    """

    def __init__(
        self,
        settings: RelaySettings,
        admin: AdminClient,
        logs: StreamLogs,
        dead_letters: DeadLetters,
        bridge: ProducerBridge,
        equipment: Equipment,
        mirror: Mirror,
    ) -> None:
        self.held = held = Holdings()
        self.standstills = Standstills(self.reconcile_soon)
        self.dead_letters = dead_letters
        self._settings = settings
        self._bridge = bridge
        self._mirror = mirror
        self._journal = journal = Journal(bridge, settings.write_interval_s)
        self._maker = maker = Maker(settings, equipment, journal, dead_letters, self._disable_soon)
        self._starting = Starting(logs, dead_letters, maker, journal, held)
        self.moves = Moves(held, maker, journal)
        self._definitions = Definitions(settings.kafka(), admin, self._defined)
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Read the definitions; raises `UnknownTopic` or `KafkaUnavailable`."""
        await self._definitions.load()

    async def close(self) -> None:
        """Stop deciding. What runs has been stopped by `lost`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._definitions.close()
        await self._journal.close()

    def _defined(self, name: str, subscription: Subscription | None) -> None:
        if self.held.kept_with(name) is not None:
            self.reconcile_soon(name)

    def gained(self, partition: int, entries: Entries) -> None:
        """A partition is ours, and these are its records: take up the subscriptions in it."""
        records: defaultdict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
        for key, value in entries.items():
            records[subscription_of(key)].append((key, value))
        kept: Kept = {}
        for state_key, of_one in records.items():
            try:
                kept[state_key] = stored(of_one)
            except (ValueError, LookupError, TypeError) as error:
                # Begun anew it repeats events, which is better than to stand still.
                log.error("state_unreadable", subscription=name_of(state_key), reason=repr(error))
                metrics.errors.labels("relay").inc()
        self.held.gain(partition, kept, now_ms())
        self._spawn(self._take_up(partition, kept, list(entries)))

    async def _take_up(self, partition: int, kept: Kept, keys: list[bytes]) -> None:
        while True:
            if self.held.kept(partition) is not kept:
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
        # Of subscriptions that were deleted while nobody owned them; not of those that a newer version has written.
        left: defaultdict[str, list[bytes]] = defaultdict(list)
        for key in keys:
            state_key = subscription_of(key)
            if state_key not in known and name_of(state_key) not in self._definitions.unreadable:
                left[state_key].append(key)
        for state_key, left_keys in left.items():
            kept.pop(state_key, None)
            await self._forget(state_key, left_keys)
        for start in range(0, len(names), TOGETHER):
            await self._reconcile_all(names[start : start + TOGETHER], "subscription_not_taken_up")

    async def lost(self, partitions: list[int]) -> None:
        """Partitions go to another owner: returns when nothing of them runs here any more."""
        for partition in partitions:
            self.held.lose(partition)
        # Those that are being changed must have ended, too, before another owner goes on.
        names = self.held.names(partitions) | self.standstills.names(partitions)
        await self._reconcile_all(names, "subscription_not_handed_over")

    async def _reconcile_all(self, names: Iterable[str], failed: str) -> None:
        """What fails with one subscription is told, and no matter of the others."""
        results = await asyncio.gather(*(self._reconcile(name) for name in names), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                log.error(failed, exc_info=result)
                metrics.errors.labels("relay").inc()

    async def announce(self) -> None:
        """Say again what is owned: a relay that was frozen may have announced itself after us."""
        try:
            await self._announce(*self.held.partitions)
        except (Undelivered, QueueFull) as error:
            log.warning("not_announced", reason=str(error))

    async def _announce(self, *partitions: int) -> None:
        value = orjson.dumps({"address": self._settings.advertised(), "since": now()})
        await self._bridge.write([Outgoing(OWNERS.name, str(partition).encode(), value) for partition in partitions])

    @property
    def reports_fail(self) -> bool:
        """Whether Kafka did not take the last reports."""
        return self._journal.reports_fail

    async def told(self, name: str) -> None:
        """Return once what became of a subscription's events is in Kafka; raises `KafkaUnavailable`, `QueueFull`."""
        try:
            await self._journal.flush(name)
        except Undelivered as error:
            raise KafkaUnavailable(str(error)) from None

    def running(self, name: str) -> Running | None:
        """A subscription that runs here, woken where it is at rest."""
        standing = self.held.runners.get(name)
        if isinstance(standing, Resting):
            self.held.runners[name] = standing = self._maker.wake(standing)
        return cast("Running | None", standing)

    def rest_soon(self, name: str) -> None:
        """Put a pull subscription that is idle to rest, in a task."""
        self._spawn(self._rest(name))

    async def _rest(self, name: str) -> None:
        async with self.held.lock(name):
            puller = self.held.runners.get(name)
            if isinstance(puller, Puller) and puller.idle:
                await puller.stop()
                self.held.runners[name] = self._maker.rest(puller)

    def let_go(self) -> None:
        """Follow feeds no more that no subscription reads here, and have those that are read stay followed."""
        self._maker.let_go({standing.feed_log for standing in self.held.runners.values()})

    def reconcile_soon(self, name: str) -> None:
        """Something about a subscription has changed: make what runs equal to what should, in a task."""
        self._spawn(self._reconcile(name))

    async def _reconcile(self, name: str) -> None:
        """Make what runs equal to what should."""
        held = self.held
        async with held.lock(name):
            runner, wanted = held.runners.get(name), self._definitions.get(name)
            if runner is not None and (
                held.kept_with(name) is None or runner.subscription != wanted or runner.feed_log.gone
            ):
                await held.stop(runner)
                wanted = self._definitions.get(name)
                await self._put_back(runner, wanted)
            kept, stood = held.kept_with(name), self.standstills.get(name)
            if stood is not None and (kept is None or wanted is None or wanted.state_key != stood.state_key):
                await self._leave(stood)
            if wanted is not None and kept is not None and name not in held.runners:
                await self._run(wanted, kept)
            metrics.owned.set(len(held.runners))

    async def _put_back(self, runner: Standing, wanted: Subscription | None) -> None:
        """Keep the state of what was stopped for its next runner, or remove it with its subscription."""
        old = runner.subscription
        kept = self.held.kept_with(old.id)
        if kept is None:
            return
        if wanted is not None and wanted.state_key == old.state_key:
            left = runner.stored()
            if wanted.url != old.url or (old.state == "disabled" and wanted.state == "active"):
                # What was seen of another endpoint, or before somebody said that it is well again, does not count.
                left.endpoint = {}
                await self._forget(old.state_key, [endpoint_key(old.state_key)])
            kept[old.state_key] = left
        else:
            await self._forget(old.state_key, runner.stored().keys(old.state_key))
            await self._mirror.forget(old.id)

    async def _leave(self, stood: Subscription) -> None:
        """One that stood still was deleted, or is another owner's now."""
        self.standstills.end(stood.id)
        if (kept := self.held.kept_with(stood.id)) is not None:
            if (found := kept.pop(stood.state_key, None)) is not None:
                await self._forget(stood.state_key, found.keys(stood.state_key))
            await self._mirror.forget(stood.id)

    async def _forget(self, state_key: str, keys: list[bytes]) -> None:
        """Remove what was kept of a subscription."""
        await self._journal.forget(name_of(state_key), keys)

    async def _run(self, subscription: Subscription, kept: Kept) -> None:
        name = subscription.id
        found = kept.get(subscription.state_key) or Stored()
        found.writer = self.held.since_ms(name)
        try:
            ready = await self._starting.ready(subscription, found)
        except UnknownFeed:
            # Once there is a stream of this name, `standstills` are told.
            self.standstills.begin(subscription, f"no feed or stream is called {subscription.feed}")
            return
        except UnknownTopic as error:
            self.standstills.begin(subscription, f"the topic {error} does not exist")
            self._spawn(self._reconcile_later(name))
            return
        except NOT_NOW as error:
            log.warning("subscription_not_started", subscription=name, reason=repr(error))
            self._spawn(self._reconcile_later(name))
            return
        # While we waited it may have gone to another owner; a change of its definition waits for our lock.
        if self.held.kept_with(name) is kept:
            self.held.runners[name] = self._maker.stand(subscription, *ready)
            kept.pop(subscription.state_key, None)
            self.standstills.end(name)

    async def _reconcile_later(self, name: str) -> None:
        await asyncio.sleep(AGAIN_S)
        await self._reconcile(name)

    def _disable_soon(self, subscription: Subscription, reason: str) -> None:
        self._spawn(self._disable(subscription, reason))

    async def _disable(self, subscription: Subscription, reason: str) -> None:
        """Stop pushing until somebody resumes it, or gives it another endpoint; the position stays."""

        def disabled(current: Subscription | None) -> Subscription | None:
            # Somebody who changed or resumed it since knows better than an attempt of before; the next one will tell.
            if current is None or current.etag != subscription.etag or current.state != "active":
                return current
            return current.changed(state="disabled", reason=reason)

        while True:
            try:
                changed = await self._definitions.change(subscription.id, disabled)
            except KafkaUnavailable as error:
                log.warning("subscription_not_disabled_yet", subscription=subscription.id, reason=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            if changed is not None and (changed.state, changed.reason) == ("disabled", reason):
                log.warning("subscription_disabled", subscription=subscription.id, reason=reason)
                self._journal.report(event(subscription, "disabled", reason=reason))
            return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("relay_task_failed", exc_info=error)
            metrics.errors.labels("relay").inc()
