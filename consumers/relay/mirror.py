"""Positions shown to Kafka's own tools: as the offsets of a consumer group per subscription.

For looking only: the truth is `headrace.positions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.consumers.core.position import Position
from headrace.consumers.relay.runner import Runner

log = structlog.get_logger(__name__)


def group_of(subscription: str) -> str:
    """The consumer group that shows a subscription."""
    return f"headrace.sub.{subscription}"


class Mirror:
    """Writes the positions that moved since the last time."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._shown: dict[str, Position] = {}

    async def show(self, runners: Iterable[Runner]) -> None:
        """Show where these subscriptions stand; a failure is logged, and tried again at the next call."""
        moved = {r.subscription.id: r for r in runners if self._shown.get(r.subscription.id) != r.position}
        positions = {name: runner.position for name, runner in moved.items()}
        results = await asyncio.gather(
            *(self._alter(name, moved[name].feed_log.topic.topic, position) for name, position in positions.items()),
            return_exceptions=True,
        )
        for (name, position), result in zip(positions.items(), results, strict=True):
            if result is None:
                self._shown[name] = position
            elif isinstance(result, KafkaException):
                log.info("position_not_mirrored", subscription=name, reason=str(result))
            elif isinstance(result, BaseException):
                raise result

    async def _alter(self, name: str, topic: str, position: Position) -> None:
        offsets = [TopicPartition(topic, p, offset) for p, offset in enumerate(position)]
        request = [ConsumerGroupTopicPartitions(group_of(name), offsets)]
        for future in self._admin.alter_consumer_group_offsets(request).values():
            await asyncio.wrap_future(future)

    async def forget(self, name: str) -> None:
        """Remove the group of a subscription that is no more."""
        self._shown.pop(name, None)
        for future in self._admin.delete_consumer_groups([group_of(name)]).values():
            try:
                await asyncio.wrap_future(future)
            except KafkaException as error:
                log.info("group_not_deleted", subscription=name, reason=str(error))
