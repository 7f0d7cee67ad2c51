"""Which subscriptions run here: those whose state this relay owns."""

from __future__ import annotations

import asyncio
import weakref
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, cast

import orjson
import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import MalformedPosition, Position, PositionGone
from headrace.consumers.core.tail import Tail, UnknownFeed
from headrace.consumers.relay.catch_up import acknowledged
from headrace.consumers.relay.dead_letters import DeadLetters
from headrace.consumers.relay.definition import OWNERS, Subscription, position_partition
from headrace.consumers.relay.definitions import Definitions
from headrace.consumers.relay.endpoint import Endpoint
from headrace.consumers.relay.equipment import Equipment
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.lineup import now_ms
from headrace.consumers.relay.maker import Maker
from headrace.consumers.relay.mirror import Mirror
from headrace.consumers.relay.ownership import Entries
from headrace.consumers.relay.puller import Puller
from headrace.consumers.relay.reports import event
from headrace.consumers.relay.resting import Resting
from headrace.consumers.relay.runner import Runner
from headrace.consumers.relay.running import Running, Standing
from headrace.consumers.relay.state import (
    Saved,
    Stored,
    base_record,
    endpoint_key,
    lane_record,
    next_epoch,
    parked_key,
    snapshot_key,
    snapshot_record,
    stored,
    subscription_of,
)
from headrace.consumers.relay.taking_over import honoured
from headrace.consumers.relay.vault import CannotOpen
from headrace.kafka.bridge import Outgoing, ProducerBridge, QueueFull, Undelivered
from headrace.kafka.offsets import KafkaUnavailable, UnknownTopic
from headrace.schemas.event import now
from headrace.settings import RelaySettings

log = structlog.get_logger(__name__)

TOGETHER = 50
"""Subscriptions of a partition that are taken up at a time: a task for each of all would take more than they do."""
AGAIN_S = 2.0
"""Pause before what could not be done is tried again."""


class Owner:
    """Runs the subscriptions that this relay owns.

    A subscription runs here while its definition is active, its partition of `headrace.positions` is ours and read to
    its end. Every change of one of these ends in `_reconcile`, one at a time for each subscription.
    """

    def __init__(
        self,
        settings: RelaySettings,
        admin: AdminClient,
        tail: Tail,
        dead_letters: DeadLetters,
        bridge: ProducerBridge,
        equipment: Equipment,
        mirror: Mirror,
    ) -> None:
        self.runners: dict[str, Standing] = {}
        self.dead_letters = dead_letters
        self._settings = settings
        self._tail = tail
        self._bridge = bridge
        self._mirror = mirror
        self._journal = Journal(bridge, settings.write_interval_s)
        self._maker = Maker(settings, equipment, self._journal, dead_letters, self._disable_soon)
        self._definitions = Definitions(settings.kafka(), admin, self._defined)
        # What was found in the partitions that are ours, by `state_key`, until it is taken up; and since when they are.
        self._owned: dict[int, dict[str, Stored]] = {}
        self._since_ms: dict[int, int] = {}
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
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
        if position_partition(name) in self._owned:
            self.reconcile_soon(name)

    def gained(self, partition: int, entries: Entries) -> None:
        """A partition is ours, and these are its records: take up the subscriptions in it."""
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
        self._since_ms[partition] = now_ms()
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
        for start in range(0, len(names), TOGETHER):
            await asyncio.gather(*(self._reconcile(name) for name in names[start : start + TOGETHER]))

    async def lost(self, partitions: list[int]) -> None:
        """Partitions go to another owner: returns when nothing of them runs here any more."""
        for partition in partitions:
            self._owned.pop(partition, None)
        # Those that are being changed are locked: they must have ended, too, before another owner goes on.
        names = {name for name in (*self.runners, *self._locks) if position_partition(name) in partitions}
        results = await asyncio.gather(*(self._reconcile(name) for name in names), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                log.error("subscription_not_handed_over", exc_info=result)
                metrics.errors.labels("relay").inc()

    async def announce(self) -> None:
        """Say again what is owned: a relay that was frozen may have announced itself after us."""
        try:
            await self._announce(*self._owned)
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
        standing = self.runners.get(name)
        if isinstance(standing, Resting):
            self.runners[name] = standing = self._maker.wake(standing)
        return cast("Running | None", standing)

    def rest_soon(self, name: str) -> None:
        """Put a pull subscription that is idle to rest, in a task."""
        self._spawn(self._rest(name))

    async def _rest(self, name: str) -> None:
        async with self.lock(name):
            puller = self.runners.get(name)
            if isinstance(puller, Puller) and puller.idle:
                await puller.stop()
                self.runners[name] = Resting(
                    puller.subscription, puller.stored(), puller.position, puller.feed_log, puller.counted
                )

    def lock(self, name: str) -> asyncio.Lock:
        """The lock of a subscription: there while somebody uses it."""
        if (lock := self._locks.get(name)) is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def reconcile_soon(self, name: str) -> None:
        """Something about a subscription has changed: make what runs equal to what should, in a task."""
        self._spawn(self._reconcile(name))

    async def _reconcile(self, name: str) -> None:
        """Make what runs equal to what should."""
        partition = position_partition(name)
        async with self.lock(name):
            runner, wanted = self.runners.get(name), self._definitions.get(name)
            if runner is not None and (
                partition not in self._owned or runner.subscription != wanted or runner.feed_log.gone
            ):
                await self._stop(runner)
                wanted = self._definitions.get(name)
                await self._put_back(runner, wanted)
            if wanted is not None and partition in self._owned and name not in self.runners:
                await self._run(wanted, self._owned[partition])
            metrics.owned.set(len(self.runners))

    async def _stop(self, runner: Standing) -> None:
        del self.runners[runner.subscription.id]
        await runner.stop()

    async def _put_back(self, runner: Standing, wanted: Subscription | None) -> None:
        """Keep the state of what was stopped for its next runner, or remove it with its subscription."""
        old = runner.subscription
        owned = self._owned.get(position_partition(old.id))
        if owned is None:
            return
        if wanted is not None and wanted.state_key == old.state_key:
            left = runner.stored()
            if wanted.url != old.url or (old.state == "disabled" and wanted.state == "active"):
                # What was seen of another endpoint, or before somebody said that it is well again, does not count.
                left.endpoint = {}
                await self._forget(old.state_key, [endpoint_key(old.state_key)])
            owned[old.state_key] = left
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
        found.writer = self._since_ms[position_partition(subscription.id)]
        try:
            feed_log = await self._tail.log(subscription.feed)
            await self.dead_letters.ensure(subscription.feed)
            try:
                start = await feed_log.resolve(found.base or subscription.start)
            except PositionGone as error:
                found, start = await self._start_over(subscription, found, feed_log, error)
            endpoint = self._maker.endpoint(subscription, feed_log)
            found, records = honoured(found, subscription.state_key, now_ms())
            if records:
                await self._journal.write(subscription.id, records)
        except (
            UnknownFeed,
            UnknownTopic,
            KafkaUnavailable,
            KafkaException,
            TimeoutError,
            Undelivered,
            QueueFull,
            ValueError,
            CannotOpen,
            MalformedPosition,
        ) as error:
            log.warning("subscription_not_started", subscription=subscription.id, reason=repr(error))
            self._spawn(self._reconcile_later(subscription.id))
            return
        if found.stale:
            await self._forget(subscription.state_key, found.stale)
        # While we waited it may have gone to another owner; a change of its definition waits for our lock.
        if self._owned.get(position_partition(subscription.id)) is owned:
            owned.pop(subscription.state_key, None)
            self.runners[subscription.id] = self._maker.stand(subscription, found, start, feed_log, endpoint)

    async def _start_over(
        self, subscription: Subscription, found: Stored, feed_log: FeedLog, error: PositionGone
    ) -> tuple[Stored, Position]:
        """The feed's topic was deleted and made again: offsets of the old one say nothing. Begin with all it has."""
        log.error("subscription_starts_over", subscription=subscription.id, reason=str(error))
        metrics.errors.labels("retention").inc()
        started = Stored(
            self._next_epoch(subscription, found.epoch),
            found.writer,
            feed_log.token(error.earliest),
            endpoint=found.endpoint,
            snapshots=found.snapshots,
        )
        stale = [(key, None) for key in found.keys_of_epoch(subscription.state_key)]
        base = base_record(subscription.state_key, started.epoch, feed_log.token(error.earliest))
        await self._journal.write(subscription.id, [base, *stale])
        return started, error.earliest

    def _next_epoch(self, subscription: Subscription, epoch: int) -> int:
        return next_epoch(epoch, self._since_ms[position_partition(subscription.id)])

    async def _reconcile_later(self, name: str) -> None:
        await asyncio.sleep(AGAIN_S)
        await self._reconcile(name)

    async def save(self, runner: Running, name: str, saved: Saved | None) -> None:
        """Give a position a name, or take the name away; raises `Undelivered` or `QueueFull`."""
        state_key = runner.subscription.state_key
        record = (snapshot_key(state_key, name), None) if saved is None else snapshot_record(state_key, name, saved)
        await self._journal.write(runner.subscription.id, [record])
        if saved is None:
            runner.snapshots.pop(name, None)
        else:
            runner.snapshots[name] = saved

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

    async def move(self, runner: Running, position: Position) -> None:
        """Go on from another position under a new epoch. The caller holds the subscription's lock.

        Once begun it is carried out, as soon as Kafka answers.
        """
        subscription, feed_log = runner.subscription, runner.feed_log
        owned = self._owned.get(position_partition(subscription.id))
        await self._stop(runner)
        left = runner.stored()
        moved = Stored(
            self._next_epoch(subscription, runner.epoch),
            left.writer,
            feed_log.token(position),
            endpoint=left.endpoint,
            snapshots=left.snapshots,
        )
        base = base_record(subscription.state_key, moved.epoch, feed_log.token(position))
        stale = [(key, None) for key in left.keys_of_epoch(subscription.state_key)]
        while owned is not None and self._owned.get(position_partition(subscription.id)) is owned:
            try:
                await self._journal.write(subscription.id, [base, *stale])
            except (Undelivered, QueueFull) as error:
                log.warning("subscription_not_moved_yet", subscription=subscription.id, reason=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            self.runners[subscription.id] = self._maker.stand(
                subscription, moved, position, feed_log, _endpoint_of(runner)
            )
            log.info("subscription_moved", subscription=subscription.id, epoch=moved.epoch)
            return

    async def acknowledge(self, runner: Running, position: Position) -> None:
        """Take all below a position for delivered. The caller holds the subscription's lock; raises `Undelivered`.

        It is a true statement of the same epoch: what an owner that does not know yet writes makes repeats at worst.
        """
        subscription = runner.subscription
        await self._stop(runner)
        found, done = acknowledged(runner.stored(), position)
        records = []
        for p, lane in found.lanes.items():
            records.append(lane_record(subscription.state_key, found.epoch, found.writer, p, lane))
            found.lane_keys.setdefault(p, set()).add(records[-1][0])
        tombstones = [(parked_key(subscription.state_key, found.epoch, p.partition, p.offset), None) for p in done]
        try:
            await self._journal.write(subscription.id, [*records, *tombstones])
        except (Undelivered, QueueFull):
            found = runner.stored()
            raise
        finally:
            owned = self._owned.get(position_partition(subscription.id))
            if owned is not None:
                self.runners[subscription.id] = self._maker.stand(
                    subscription, found, runner.intake.start, runner.feed_log, _endpoint_of(runner)
                )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("relay_task_failed", exc_info=error)
            metrics.errors.labels("relay").inc()


def _endpoint_of(runner: Running) -> Endpoint | None:
    return runner.endpoint if isinstance(runner, Runner) else None
