"""Watching what the log is about to drop: hours until loss for each subscription, and parked events saved in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import PositionGone, lowered
from headrace.consumers.relay.lineup import now_ms
from headrace.consumers.relay.retention import LaneAge, at_risk_before_ms, hours_until_loss, parked_at_risk
from headrace.consumers.relay.running import Standing
from headrace.kafka.offsets import KafkaUnavailable

log = structlog.get_logger(__name__)

CONFIG_S = 300.0
"""How long a topic's retention is taken for what it was."""
MARGIN_MS = 3_600_000
"""So long before the log may drop a parked event it becomes a dead letter."""


class RetentionWatch:
    """Looks at subscriptions that have not delivered all; those that have cost nothing."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._retention: dict[str, tuple[float, int | None]] = {}

    async def look(self, runners: Iterable[Standing]) -> None:
        """Look once; what Kafka does not answer is asked again the next time."""
        # Topics of streams come and go.
        since_s = time.monotonic() - CONFIG_S
        self._retention = {topic: found for topic, found in self._retention.items() if found[0] > since_s}
        for runner in list(runners):
            try:
                await self._look(runner)
            except (KafkaUnavailable, KafkaException) as error:
                log.warning("retention_not_looked_at", subscription=runner.subscription.id, reason=str(error))
                return

    async def _look(self, runner: Standing) -> None:
        retention_ms = await self._retention_ms(runner.feed_log.topic.topic) if runner.lag else None
        runner.hours_until_loss = None if retention_ms is None else await self._hours(runner, retention_ms)

    async def _hours(self, runner: Standing, retention_ms: int) -> float | None:
        await self._save(runner, retention_ms)
        feed_log = runner.feed_log
        oldest = lowered(runner.position, [(p.partition, p.offset) for p in runner.waiting() if p.dead is None])
        beginning = await feed_log.beginning()
        lanes = [
            LaneAge(at, kept, await _timestamp_ms(feed_log, partition, at) if at < end else None)
            for partition, (at, kept, end) in enumerate(zip(oldest, beginning, feed_log.tail, strict=False))
        ]
        return hours_until_loss(lanes, retention_ms, now_ms())

    async def _save(self, runner: Standing, retention_ms: int) -> None:
        """Make dead letters of the parked events that the log may drop before they are due."""
        if not runner.parked or (before_ms := at_risk_before_ms(retention_ms, MARGIN_MS, now_ms())) is None:
            return
        if before_ms <= 0:
            return
        safe_from = dict(enumerate(await runner.feed_log.at_time(before_ms)))
        waiting = [parked for parked in runner.waiting() if parked.dead is None]
        for parked in parked_at_risk(waiting, safe_from):
            await runner.give_up(
                parked.partition, parked.offset, "the log would have dropped it before its next attempt"
            )

    async def _retention_ms(self, topic: str) -> int | None:
        """How long the topic keeps records; None for ever."""
        asked_s, retention_ms = self._retention.get(topic, (0.0, None))
        if time.monotonic() - asked_s < CONFIG_S and topic in self._retention:
            return retention_ms
        resource = ConfigResource(ResourceType.TOPIC, topic)
        config = await asyncio.wrap_future(self._admin.describe_configs([resource])[resource])
        deletes = "delete" in (config["cleanup.policy"].value or "")
        found = int(config["retention.ms"].value or -1)
        retention_ms = found if deletes and found >= 0 else None
        self._retention[topic] = (time.monotonic(), retention_ms)
        return retention_ms


async def _timestamp_ms(feed_log: FeedLog, partition: int, offset: int) -> int | None:
    try:
        batch = await feed_log.read(feed_log.only(partition, offset), 1)
    except PositionGone:
        return None
    return batch.records[0].timestamp_ms if batch.records else None
