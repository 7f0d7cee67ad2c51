"""Positions shown to Kafka's own tools: as the offsets of a consumer group per subscription.

For looking only: the truth is `headrace.positions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.consumers.core.position import Position
from headrace.consumers.relay.running import Standing

log = structlog.get_logger(__name__)

TOGETHER = 100
"""Groups that are written at a time, so that a thousand of them do not hold up the event loop."""

AT_A_TIME = 1000
"""Groups that are written by one call of `show`."""


def group_of(subscription: str) -> str:
    """The consumer group that shows a subscription."""
    return f"headrace.sub.{subscription}"


class Mirror:
    """Writes the positions that moved since the last time."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._shown: dict[str, Position] = {}
        self._writing = asyncio.Lock()

    async def show(self, running: Mapping[str, Standing]) -> None:
        """Show where these subscriptions stand; a failure is logged, and tried again at the next call."""
        self._shown = {name: position for name, position in self._shown.items() if name in running}
        moved = [name for name, runner in running.items() if self._shown.get(name) != runner.position]
        # Those shown longest ago first: Kafka takes some 2,000 a second, and thousands may move all the time.
        order = {name: number for number, name in enumerate(self._shown)}
        moved = sorted(moved, key=lambda name: order.get(name, -1))[:AT_A_TIME]
        for start in range(0, len(moved), TOGETHER):
            async with self._writing:
                await asyncio.gather(*(self._show(running, name) for name in moved[start : start + TOGETHER]))

    async def _show(self, running: Mapping[str, Standing], name: str) -> None:
        if (runner := running.get(name)) is None:
            return  # it went while we waited
        position, topic = runner.position, runner.feed_log.topic.topic
        offsets = [TopicPartition(topic, p, offset) for p, offset in enumerate(position)]
        request = [ConsumerGroupTopicPartitions(group_of(name), offsets)]
        try:
            for future in self._admin.alter_consumer_group_offsets(request).values():
                await asyncio.wrap_future(future)
        except KafkaException as error:
            log.info("position_not_mirrored", subscription=name, reason=str(error))
        else:
            self._shown.pop(name, None)
            self._shown[name] = position

    async def forget(self, name: str) -> None:
        """Remove the group of a subscription that is no more."""
        async with self._writing:
            self._shown.pop(name, None)
            for future in self._admin.delete_consumer_groups([group_of(name)]).values():
                try:
                    await asyncio.wrap_future(future)
                except KafkaException as error:
                    log.info("group_not_deleted", subscription=name, reason=str(error))
