"""What a subscription reads: its lanes, from memory, from history, or at the tail together with others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.core.record import Record
from headrace.consumers.filter.expression import Filter
from headrace.consumers.relay.lane import Lane
from headrace.consumers.relay.options import Options
from headrace.consumers.relay.state import LaneState, Stored

if TYPE_CHECKING:
    from headrace.consumers.relay.router import Router

READ_EVENTS = 500
AHEAD_EVENTS = 1000
"""Events that may be read and not yet settled: enough to keep an endpoint busy, bounded whatever it does."""
OFFERED_EVENTS = 256
"""The same at the tail: one that is further behind reads by itself, so that its events need not stay in memory."""


class Intake:
    """Reads the events of a subscription in order, and leaves out those that it does not want or that are done.

    `take` is called with each event that is to be delivered, `pump` once some were taken at the tail. Invariant: a
    subscription that has caught up stands with the feed's `Router`, which offers it what it wants; else it reads by
    itself, until it has caught up.
    """

    def __init__(
        self,
        found: Stored,
        start: Position,
        feed_log: FeedLog,
        router: Router,
        options: Options,
        *,
        ahead: int = AHEAD_EVENTS,
        take: Callable[[Record], None],
        pump: Callable[[], None],
    ) -> None:
        self.feed_log = feed_log
        self.filter = None if options.filter is None else Filter.parse(options.filter)
        self.types = frozenset(options.types)
        self.pump = pump
        self._ahead = ahead
        self._found = found
        self.start = start
        self._router = router
        self._take = take
        self._lanes: list[Lane] = []
        self._at_tail = False
        self._add_lanes()

    def _add_lanes(self) -> None:
        """A lane for every partition: a feed can get more of them."""
        for partition in range(len(self._lanes), len(self.feed_log.rings)):
            self._lanes.append(Lane(self._found.lane(partition, self.start)))

    def lanes(self) -> list[Lane]:
        """The lanes, brought up to where the router is."""
        if self._at_tail:
            self._add_lanes()
            for lane, offset in zip(self._lanes, self._router.position, strict=False):
                lane.fetched = max(lane.fetched, offset)
        return self._lanes

    @property
    def fetched(self) -> Position:
        """Per partition, the offset of the next event to be read."""
        return tuple(lane.fetched for lane in self.lanes())

    @property
    def position(self) -> Position:
        """Per partition, the first offset that is not settled."""
        return tuple(lane.position for lane in self.lanes())

    @property
    def unsettled(self) -> int:
        """Events that were read and are not settled."""
        return sum(lane.unsettled for lane in self._lanes)

    @property
    def full(self) -> bool:
        """Whether so much was read that is not settled that no more should be."""
        return self.unsettled >= self._ahead

    @property
    def lag(self) -> int:
        """Offsets of the feed that are not settled."""
        lanes = zip(self.feed_log.rings, self.lanes(), strict=False)
        return sum(max(ring.end - lane.fetched, 0) + lane.unsettled for ring, lane in lanes)

    def settle(self, partition: int, offset: int) -> None:
        """An event was delivered, parked, or has become a dead letter."""
        self._lanes[partition].settle(offset)

    def settled(self, partition: int, offset: int) -> bool:
        """Whether that is so of an event."""
        return partition < len(self._lanes) and self._lanes[partition].settled(offset)

    # Reading by itself

    def read_memory(self) -> bool | None:
        """Read on from memory: True where there was something, None where history must be read first."""
        if self._at_tail:
            return False
        self._add_lanes()
        batch = self.feed_log.read_rings(self.fetched, READ_EVENTS)
        if batch is None:
            return None
        self._passed(batch.records, batch.position)
        if batch.position != self._router.position:
            # It is told of batches, not of partitions that were just added, or are followed anew from another place.
            self._router.catch_up()
        if batch.position == self._router.position:
            self._at_tail = True
            self._router.join(self)
        return bool(batch.records)

    async def read_history(self) -> None:
        """Read on from history; raises `PositionGone`, `KafkaUnavailable`."""
        batch = await self.feed_log.read(self.fetched, READ_EVENTS)
        self._passed(batch.records, batch.position)

    def _passed(self, records: list[Record], position: Position) -> None:
        self._add_lanes()  # a partition may have been added while history was read
        for record in records:
            if self.wants(record):
                self._accept(record)
        for lane, offset in zip(self._lanes, position, strict=True):
            lane.pass_to(offset)

    def wants(self, record: Record) -> bool:
        """Whether the subscription wants an event."""
        return self._router.wants(self, record)

    def _accept(self, record: Record) -> None:
        if self._lanes[record.partition].take(record.offset):
            self._take(record)

    # At the tail

    def offer(self, record: Record) -> None:
        """An event at the tail that the subscription wants: taken, or left for later where it has enough."""
        if not self._at_tail:
            return
        if self.unsettled >= OFFERED_EVENTS:
            self.leave()
            return
        if record.partition >= len(self._lanes):
            self._add_lanes()
        self._accept(record)

    def leave(self) -> None:
        """Read by itself from here on."""
        if self._at_tail:
            self.lanes()
            self._at_tail = False
            self._router.leave(self)

    def skip_to(self, earliest: Position) -> list[tuple[int, int, int]]:
        """Go on where the log begins now; gives partition, from and to of what it has dropped unread."""
        dropped: list[tuple[int, int, int]] = []
        for partition, (lane, offset) in enumerate(zip(self._lanes, earliest, strict=False)):
            if lane.fetched < offset:
                dropped.append((partition, lane.fetched, offset))
                lane.pass_to(offset)
        return dropped

    def states(self) -> dict[int, LaneState]:
        """What a next owner must know of the lanes."""
        return {partition: lane.state() for partition, lane in enumerate(self.lanes())}

    def touch(self) -> None:
        """Have all lanes written, also where only what others want has gone by."""
        for lane in self.lanes():
            lane.touch()

    def moved(self) -> list[tuple[int, Lane, LaneState]]:
        """The lanes that are to be written, see `Lane.moved`."""
        return [(p, lane, state) for p, lane in enumerate(self.lanes()) if (state := lane.moved()) is not None]
