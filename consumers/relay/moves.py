"""Changing where a subscription stands, on demand: seek, acknowledge, snapshots."""

from __future__ import annotations

import asyncio

import structlog

from headrace.consumers.core.position import Position
from headrace.consumers.relay.catch_up import acknowledged
from headrace.consumers.relay.endpoint import Endpoint
from headrace.consumers.relay.holdings import Holdings
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.maker import Maker
from headrace.consumers.relay.runner import Runner
from headrace.consumers.relay.running import Running
from headrace.consumers.relay.state import (
    Saved,
    Stored,
    base_record,
    lane_record,
    parked_key,
    snapshot_key,
    snapshot_record,
)
from headrace.kafka.bridge import QueueFull, Undelivered

log = structlog.get_logger(__name__)

AGAIN_S = 2.0
"""Pause before what could not be done is tried again."""


class Moves:
    """Moves the subscriptions that run here. Who calls holds the subscription's lock."""

    def __init__(self, held: Holdings, maker: Maker, journal: Journal) -> None:
        self._held = held
        self._maker = maker
        self._journal = journal

    async def seek(self, runner: Running, position: Position) -> None:
        """Go on from another position under a new epoch. Once begun it is carried out, as soon as Kafka answers."""
        subscription, feed_log = runner.subscription, runner.feed_log
        kept = self._held.kept_with(subscription.id)
        await self._held.stop(runner)
        left = runner.stored()
        moved = Stored(
            self._held.next_epoch(subscription, runner.epoch),
            left.writer,
            feed_log.token(position),
            endpoint=left.endpoint,
            snapshots=left.snapshots,
        )
        base = base_record(subscription.state_key, moved.epoch, feed_log.token(position))
        stale = [(key, None) for key in left.keys_of_epoch(subscription.state_key)]
        while kept is not None and self._held.kept_with(subscription.id) is kept:
            try:
                # What the stopped one could not write must not come after it.
                await self._journal.flush(subscription.id)
                await self._journal.write(subscription.id, [base, *stale])
            except (Undelivered, QueueFull) as error:
                log.warning("subscription_not_moved_yet", subscription=subscription.id, reason=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            self._go_on(runner, moved, position)
            log.info("subscription_moved", subscription=subscription.id, epoch=moved.epoch)
            return

    async def acknowledge(self, runner: Running, position: Position) -> None:
        """Take all below a position for delivered; raises `Undelivered`, `QueueFull`.

        It is a true statement of the same epoch: what an owner that does not know yet writes makes repeats at worst.
        """
        subscription = runner.subscription
        await self._held.stop(runner)
        found, done = acknowledged(runner.stored(), position)
        records = []
        for p, lane in found.lanes.items():
            records.append(lane_record(subscription.state_key, found.epoch, found.writer, p, lane))
            found.lane_keys.setdefault(p, set()).add(records[-1][0])
        tombstones = [(parked_key(subscription.state_key, found.epoch, *place), None) for place in done]
        try:
            # What the stopped one could not write must not come after it.
            await self._journal.flush(subscription.id)
            await self._journal.write(subscription.id, [*records, *tombstones])
        except (Undelivered, QueueFull):
            found = runner.stored()
            raise
        finally:
            if self._held.kept_with(subscription.id) is not None:
                self._go_on(runner, found, runner.intake.start)

    def _go_on(self, runner: Running, found: Stored, start: Position) -> None:
        subscription = runner.subscription
        self._held.runners[subscription.id] = self._maker.stand(
            subscription, found, start, runner.feed_log, _endpoint_of(runner)
        )

    async def save(self, runner: Running, name: str, saved: Saved | None) -> None:
        """Give a position a name, or take the name away; raises `Undelivered` or `QueueFull`."""
        state_key = runner.subscription.state_key
        record = (snapshot_key(state_key, name), None) if saved is None else snapshot_record(state_key, name, saved)
        await self._journal.write(runner.subscription.id, [record])
        if saved is None:
            runner.snapshots.pop(name, None)
        else:
            runner.snapshots[name] = saved


def _endpoint_of(runner: Running) -> Endpoint | None:
    return runner.endpoint if isinstance(runner, Runner) else None
