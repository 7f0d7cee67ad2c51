"""Taking a subscription up: from what was kept of it to what is needed to run it."""

from __future__ import annotations

from typing import NamedTuple

import structlog
from confluent_kafka import KafkaException

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import MalformedPosition, Position, PositionGone
from headrace.consumers.relay.dead_letters import DeadLetters
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.endpoint import Endpoint
from headrace.consumers.relay.holdings import Holdings
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.lineup import now_ms
from headrace.consumers.relay.maker import Maker
from headrace.consumers.relay.state import Stored, base_record
from headrace.consumers.relay.taking_over import honoured
from headrace.consumers.relay.vault import CannotOpen
from headrace.consumers.stream_logs import StreamLogs
from headrace.kafka.bridge import QueueFull, Undelivered
from headrace.kafka.offsets import KafkaUnavailable, UnknownTopic

log = structlog.get_logger(__name__)

NOT_NOW = (
    KafkaUnavailable,
    KafkaException,
    TimeoutError,
    Undelivered,
    QueueFull,
    ValueError,
    CannotOpen,
    MalformedPosition,
)
"""Why a subscription may not be taken up now, and may be later."""


class Ready(NamedTuple):
    """What a subscription goes on from: see `Maker.stand`."""

    found: Stored
    start: Position
    feed_log: FeedLog
    endpoint: Endpoint | None


class Starting:
    """Makes subscriptions ready to run on their owner."""

    def __init__(
        self, logs: StreamLogs, dead_letters: DeadLetters, maker: Maker, journal: Journal, held: Holdings
    ) -> None:
        self._logs = logs
        self._dead_letters = dead_letters
        self._maker = maker
        self._journal = journal
        self._held = held

    async def ready(self, subscription: Subscription, found: Stored) -> Ready:
        """Make it ready, so that whatever an owner before has left counts, and once.

        Raises one of `NOT_NOW`; `UnknownFeed` or `UnknownTopic` where its feed is not there.
        """
        feed_log = await self._logs.log(subscription.feed)
        await self._dead_letters.ensure(feed_log.entry.feed)
        # What one that ran here before could not write: its next runner does not know of it.
        await self._journal.flush(subscription.id)
        try:
            start = await feed_log.resolve(found.base or subscription.start)
        except PositionGone as error:
            if not await self._logs.is_latest(feed_log):
                raise UnknownTopic(feed_log.topic.topic) from None
            found, start = await self._start_over(subscription, found, feed_log, error)
        endpoint = self._maker.endpoint(subscription, feed_log)
        found, records = honoured(found, subscription.state_key, now_ms())
        if records:
            await self._journal.write(subscription.id, records)
        if found.stale:
            await self._journal.forget(subscription.id, found.stale)
        return Ready(found, start, feed_log, endpoint)

    async def _start_over(
        self, subscription: Subscription, found: Stored, feed_log: FeedLog, error: PositionGone
    ) -> tuple[Stored, Position]:
        """The feed's topic was deleted and made again: offsets of the old one say nothing. Begin with all it has."""
        log.error("subscription_starts_over", subscription=subscription.id, reason=str(error))
        metrics.errors.labels("retention").inc()
        started = Stored(
            self._held.next_epoch(subscription, found.epoch),
            found.writer,
            feed_log.token(error.earliest),
            endpoint=found.endpoint,
            snapshots=found.snapshots,
        )
        stale = [(key, None) for key in found.keys_of_epoch(subscription.state_key)]
        base = base_record(subscription.state_key, started.epoch, feed_log.token(error.earliest))
        await self._journal.write(subscription.id, [base, *stale])
        return started, error.earliest
