"""The subscriptions of a feed that have caught up: an event at the tail is matched once for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.core.record import Record
from headrace.consumers.filter.matcher import Matcher, matches

if TYPE_CHECKING:
    from headrace.consumers.relay.intake import Intake

READ_EVENTS = 5000


class Router:
    """Reads a feed's newest events from memory as they come, and offers each to those at the tail that want it.

    Who joins has read all before `position`. One that cannot take more just leaves, and reads by itself later: so the
    slowest holds up nobody, and nothing is kept for it.
    """

    def __init__(self, feed_log: FeedLog) -> None:
        self.feed_log = feed_log
        self._at = list(feed_log.tail)
        self._matcher: Matcher[Intake] = Matcher()
        feed_log.listen(self.catch_up)

    def close(self) -> None:
        """Follow the feed no more: nobody does."""
        self.feed_log.unlisten(self.catch_up)

    @property
    def position(self) -> Position:
        """Per partition, the offset of the next event to be offered."""
        return tuple(self._at)

    def join(self, intake: Intake) -> None:
        """Offer what comes from here on."""
        self._matcher.add(intake, intake.filter, intake.types)

    def leave(self, intake: Intake) -> None:
        """Offer it nothing more."""
        self._matcher.remove(intake)

    def wants(self, intake: Intake, record: Record) -> bool:
        """Whether one that reads by itself wants an event: asked once for each event and filter."""
        if intake.filter is None and not intake.types:
            return True
        return matches(intake.filter, intake.types, self.feed_log.remembered(record))

    def catch_up(self) -> None:
        """Offer what is new in memory, then let those work that took some of it."""
        taken: dict[Intake, None] = {}
        self._at += [0] * (len(self.feed_log.rings) - len(self._at))  # a feed can get more partitions
        while self._at != list(self.feed_log.tail):
            if not len(self._matcher):
                self._at = list(self.feed_log.tail)
                break
            batch = self.feed_log.read_rings(self.position, READ_EVENTS)
            if batch is None:
                # More came at once than memory holds: all read by themselves what they did not see.
                for intake in self._matcher:
                    intake.leave()
                    taken[intake] = None
                self._at = list(self.feed_log.tail)
                break
            for record in batch.records:
                self._at[record.partition] = record.offset
                for intake in self._matcher.matching(self.feed_log.event(record)):
                    intake.offer(record)
                    taken[intake] = None
                # Who leaves at an event of another partition has had this one.
                self._at[record.partition] = record.offset + 1
            self._at = list(batch.position)
        for intake in taken:
            intake.pump()
