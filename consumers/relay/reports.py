"""What the relay tells of its work in feeds of its own: every attempt, dead letters, and what operators should know."""

from __future__ import annotations

from typing import Any

import orjson
import structlog

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.record import Record
from headrace.consumers.relay.connection import Phases
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.endpoint import Outcome
from headrace.consumers.relay.journal import Journal
from headrace.kafka.bridge import Outgoing
from headrace.schemas.dead_letter import dead_letter
from headrace.schemas.event import now, rfc3339
from headrace.schemas.feed import holds_dead_letters

log = structlog.get_logger(__name__)

ATTEMPTS = "headrace.attempts"
EVENTS = "headrace.events"


class Reports:
    """Reports of one subscription. They are in Kafka before any position that steps over their event.

    The attempts of a subscription to the attempts are not among them: each would make another.
    """

    def __init__(self, subscription: Subscription, feed_log: FeedLog, journal: Journal) -> None:
        self._subscription = subscription
        self._feed_log = feed_log
        self._journal = journal
        self._key = subscription.id.encode()
        self._whose = {"subscription": subscription.id, "feed": subscription.feed}
        self._tells_attempts = subscription.feed != ATTEMPTS

    def attempt(self, record: Record, number: int, outcome: Outcome, due_ms: int | None) -> None:
        """An attempt has ended; `due_ms` is the time of the next one, since 1970."""
        if not self._tells_attempts:
            return
        action = outcome.verdict.action
        if due_ms is None and action in ("retry", "retry_short"):
            action = "dead_letter"  # it was the last one of its schedule
        told = {
            **self._whose,
            "event_id": record.id,
            "partition": record.partition,
            "offset": record.offset,
            "attempt": number,
            "at": now(),
            "outcome": action,
            "status": outcome.status,
            "error_class": outcome.error_class,
            "error": outcome.error,
            "seconds": seconds_of(outcome.phases),
            "answer": outcome.answer.decode("utf-8", "replace") if outcome.answer else "",
            "next_attempt": None if due_ms is None else rfc3339(due_ms),
        }
        self._journal.report(Outgoing(ATTEMPTS, self._key, orjson.dumps(told)))

    def dead_letter(self, record: Record, reason: str, attempts: int) -> None:
        """An event will not be tried again. That of a feed of dead letters stays where it is."""
        feed = self._feed_log.entry.feed
        metrics.dead_letters.labels(feed.label, "undeliverable").inc()
        if holds_dead_letters(feed.name):
            self.event("undeliverable", event_id=record.id, offset=record.offset, reason=reason)
            return
        place = (self._feed_log.topic.topic, record.partition, record.offset)
        letter = dead_letter(
            place,
            record.key,
            record.message.value(),
            record.headers,
            feed.dead_letter_topic,
            reason,
            subscription=self._subscription.id,
            attempts=str(attempts),
        )
        self._journal.report(letter)

    def lost(self, partition: int, first: int, end: int) -> None:
        """The log has dropped `[first, end)` before it was delivered: a dead letter names the range."""
        feed = self._feed_log.entry.feed
        name = self._subscription.id
        headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", f"{name}:{self._feed_log.topic.topic}:{partition}:{first}-{end}"),
            ("ce_type", "headrace.events.lost"),
            ("ce_source", f"/subscriptions/{name}"),
        ]
        reason = f"offsets {first} to {end - 1} of partition {partition} were dropped by retention before delivery"
        letter = dead_letter(
            (self._feed_log.topic.topic, partition, first),
            None,
            None,
            headers,
            feed.dead_letter_topic,
            reason,
            subscription=name,
            end=str(end),
        )
        self._journal.report(letter)
        metrics.dead_letters.labels(feed.label, "retention").inc()
        metrics.errors.labels("retention").inc(end - first)
        log.error("events_lost_to_retention", subscription=name, partition=partition, first=first, end=end)
        self.event("lost", partition=partition, first_offset=first, end_offset=end, reason=reason)

    def event(self, what: str, **members: Any) -> None:
        """Something that operators should know."""
        self._journal.report(event(self._subscription, what, **members))


def event(subscription: Subscription, what: str, **members: Any) -> Outgoing:
    """What operators should know of a subscription."""
    told = {"subscription": subscription.id, "feed": subscription.feed, "event": what, "at": now(), **members}
    return Outgoing(EVENTS, subscription.id.encode(), orjson.dumps(told))


def seconds_of(phases: Phases) -> dict[str, float]:
    """How long each phase of an attempt took; 0 where it was not needed, as on a kept connection."""
    return {
        # Whole microseconds by int(): round() costs three times as much, and this is made for every attempt.
        "dns": int(phases.dns_s * 1e6) / 1e6,
        "connect": int(phases.connect_s * 1e6) / 1e6,
        "tls": int(phases.tls_s * 1e6) / 1e6,
        "first_byte": int(phases.first_byte_s * 1e6) / 1e6,
        "total": int(phases.total_s * 1e6) / 1e6,
    }
