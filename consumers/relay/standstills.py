"""Subscriptions that stand still here because their feed is not there: a stream may come again under its name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import structlog

from headrace.consumers.relay.definition import Subscription, position_partition
from headrace.durable.stream import Stream

log = structlog.get_logger(__name__)


class Standstills:
    """What each of them waits for. `again` is called with the name of one whose feed has come."""

    def __init__(self, again: Callable[[str], None]) -> None:
        self._again = again
        self._standing: dict[str, tuple[Subscription, str]] = {}
        self._of_feed: defaultdict[str, set[str]] = defaultdict(set)

    def begin(self, subscription: Subscription, reason: str) -> None:
        """It stands still; in the log it is told once."""
        if self.reason(subscription.id) != reason:
            log.warning("subscription_stands_still", subscription=subscription.id, reason=reason)
        self.end(subscription.id)
        self._standing[subscription.id] = (subscription, reason)
        self._of_feed[subscription.feed].add(subscription.id)

    def end(self, name: str) -> Subscription | None:
        """It does so no more, or not here. Gives what stood still."""
        subscription, _ = self._standing.pop(name, (None, ""))
        if subscription is not None:
            self._of_feed[subscription.feed].discard(name)
            if not self._of_feed[subscription.feed]:
                del self._of_feed[subscription.feed]
        return subscription

    def get(self, name: str) -> Subscription | None:
        """One that stands still here."""
        return self._standing.get(name, (None, ""))[0]

    def reason(self, name: str) -> str | None:
        """What it waits for; None where it does not stand still here."""
        return self._standing.get(name, (None, None))[1]

    def names(self, partitions: Iterable[int]) -> set[str]:
        """Those of partitions of `headrace.positions`."""
        wanted = set(partitions)
        return {name for name in self._standing if position_partition(name) in wanted}

    def changed(self, feed: str, stream: Stream | None) -> None:
        """A stream was made or changed, or is no more."""
        if stream is not None and feed in self._of_feed:
            for name in list(self._of_feed[feed]):
                self._again(name)
