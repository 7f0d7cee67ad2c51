"""One feed as its readers see it: rings for the newest events, history below them, stitched without a seam."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from headrace import metrics
from headrace.consumers.core.cursor import OffsetGone
from headrace.consumers.core.history import History
from headrace.consumers.core.position import (
    MalformedPosition,
    Position,
    PositionGone,
    widen,
)
from headrace.consumers.core.record import Record
from headrace.consumers.core.ring import Ring
from headrace.consumers.filter.event import Event
from headrace.durable.token import MalformedToken, decode_token, encode_token, identity_of, same_name
from headrace.kafka.offsets import KafkaUnavailable, Offsets, TopicIdentity
from headrace.schemas.catalogue import Entry

BEGINNING = "-1"
TAIL = "now"
REFRESH_S = 10.0
REMEMBERED_EVENTS = 2000
REMEMBERED_BYTES = 16 * 2**20
"""Events that are remembered as filters saw them, and the bytes of their records: many read from the same place."""
BATCH_BYTES = 4 * 2**20
"""A batch ends once it has so many bytes: events of any size do not take more memory than that for each reader."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in order within each partition, and the position after them."""

    records: list[Record]
    position: Position


def readable_ends(entry: Entry, ends: list[int]) -> list[int]:
    """Where the records of a feed end, given where its partitions do.

    The partitions of a stream end with the marker of a transaction, always: it has one writer at a time, and no other
    way of writing. A consumer passes a marker only with what follows it, or after a tenth of a second.
    """
    return [max(0, end - 1) for end in ends] if entry.feed.is_stream else ends


class FeedLog:
    """Reads one feed.

    Invariant: the rings hold every committed record from their start to their end, and `history` reads any range below
    their start. So a position is served from the rings when no partition of it is below its ring's start, else
    history serves those partitions that are, up to the ring.
    """

    def __init__(
        self,
        entry: Entry,
        topic: TopicIdentity,
        ends: list[int],
        history: History,
        offsets: Offsets,
        ring_bytes: int,
        follow_added: Callable[[FeedLog], Awaitable[None]],
    ) -> None:
        """`follow_added` looks now for partitions that were added, and has them followed."""
        self.entry = entry
        self.topic = topic
        self.rings = [Ring(end, ring_bytes) for end in ends]
        self.gone = False
        # What is followed of a feed is changed by one at a time; of thousands of feeds, at the same time.
        self.changing = asyncio.Lock()
        # Per partition, the end of what was written before the topic had more partitions than there are rings.
        self.counted: Position = ()
        self.closed_at: Position | None = None
        self.asked_s = time.monotonic()
        # A stream that is made again has another topic; tokens of the one before are gone, not another feed's.
        named = entry.feed.name if entry.feed.is_stream else topic.topic
        self._identity = identity_of(named, topic.topic_id)
        self._history = history
        self._offsets = offsets
        self._follow_added = follow_added
        self._listeners: set[Callable[[], None]] = set()
        self._beginning: asyncio.Task[list[int]] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshes = 0
        self._events: OrderedDict[tuple[int, int], tuple[Event, int]] = OrderedDict()
        self._events_bytes = 0
        self._defaults = {"source": f"/feeds/{entry.feed.name}", "type": entry.feed.event_type}
        self._tail_events = metrics.tail_events.labels(entry.feed.label)
        self._history_events = metrics.history_events.labels(entry.feed.label)

    # Positions

    def token(self, position: Position) -> str:
        """The offset token of a position."""
        return encode_token(position, self._identity)

    @property
    def tail(self) -> Position:
        """The position after the newest record that is here."""
        return tuple(ring.end for ring in self.rings)

    def is_closed_at(self, position: Position) -> bool:
        """Whether the feed is closed, and nothing comes after a position."""
        return self.closed_at is not None and all(at >= end for at, end in zip(position, self.closed_at, strict=False))

    def only(self, partition: int, offset: int) -> Position:
        """The position after all that is here, but for one partition: a read from there is of that one alone."""
        tail = self.tail
        return (*tail[:partition], offset, *tail[partition + 1 :])

    async def beginning(self) -> Position:
        """The position of the oldest records that are kept. Calls at the same time share one question to Kafka."""
        if self._beginning is None or self._beginning.done():
            self._beginning = asyncio.ensure_future(self._offsets.beginnings(self.topic.topic, len(self.rings)))
        return tuple(await asyncio.shield(self._beginning))

    async def at_time(self, timestamp_ms: int) -> Position:
        """The position of the first records that are not older than a time."""
        return tuple(await self._offsets.at_time(self.topic.topic, len(self.rings), timestamp_ms))

    async def resolve(self, offset: str) -> Position:
        """The position of `-1` (the beginning), `now` (the tail) or an offset token.

        Raises `MalformedPosition`, or `PositionGone` for a token of a topic that was deleted and made again;
        `KafkaUnavailable`.
        """
        if offset == BEGINNING:
            return await self.beginning()
        if offset == TAIL:
            await self.refresh()
            return self.tail
        try:
            position, identity = decode_token(offset)
        except MalformedToken as error:
            raise MalformedPosition(str(error)) from None
        if identity != self._identity:
            if not same_name(identity, self._identity):
                raise MalformedPosition("an offset token of another feed")
            raise PositionGone(f"{self.entry.feed.name} was made again since", await self.beginning())
        if not await self.has_partitions(len(position)):
            raise MalformedPosition("the token has more partitions than the feed")
        return widen(position, len(self.rings))

    async def has_partitions(self, count: int) -> bool:
        """Whether the feed has so many; of those that were added just now another process may know before this one."""
        if count > len(self.rings):
            await self._follow_added(self)
        return count <= len(self.rings)

    async def check(self, position: Position) -> None:
        """Raise `PositionGone` where records after a position are no longer kept."""
        rings = self.rings
        if any(at < ring.start for at, ring in zip(widen(position, len(rings)), rings, strict=True)):
            beginning = await self.beginning()
            for p, (at, kept) in enumerate(zip(widen(position, len(rings)), beginning, strict=True)):
                if at < kept:
                    raise PositionGone(f"{self.topic.topic}:{p}:{at} is no longer kept", beginning)

    # Reading

    async def read(self, position: Position, limit: int, max_bytes: int = BATCH_BYTES) -> Batch:
        """At most `limit` records from a position on, about `max_bytes`; none where it is the tail.

        Raises `PositionGone` where records after the position are no longer kept, `KafkaUnavailable`.
        """
        while (batch := self.read_rings(position, limit, max_bytes)) is None:
            position = widen(position, len(self.rings))
            below = {p: offset for p, offset in enumerate(position) if offset < self.rings[p].start}
            ends = {p: self.rings[p].start for p in below}
            try:
                chunk = await self._history.read(self.topic, below, ends, limit, max_bytes)
            except OffsetGone as error:
                raise PositionGone(f"{error} is no longer kept", await self.beginning()) from None
            position = tuple(chunk.after.get(p, offset) for p, offset in enumerate(position))
            # None in a hole of the log: transaction markers, aborted events, compaction.
            if chunk.records:
                self._history_events.inc(len(chunk.records))
                return Batch(chunk.records, position)
        return batch

    def read_rings(self, position: Position, limit: int, max_bytes: int = BATCH_BYTES) -> Batch | None:
        """The same without waiting, from memory; None where some of it must be read from history."""
        rings = self.rings
        position = widen(position, len(rings))
        if any(offset < ring.start for offset, ring in zip(position, rings, strict=True)):
            return None
        records: list[Record] = []
        after = list(position)
        unread = [p for p, ring in enumerate(rings) if position[p] < ring.end]
        for left, p in zip(range(len(unread), 0, -1), unread, strict=True):
            # An equal share for each partition that has some, so that a busy one does not starve the rest.
            found, after[p] = rings[p].read(position[p], -(-(limit - len(records)) // left), max_bytes // left)
            records += found
            max_bytes -= sum(record.size_bytes for record in found)
        return Batch(records, tuple(after))

    async def refresh(self) -> None:
        """Wait until all that was committed before this call is in the rings, so that writers read their own writes.

        Calls at the same time share one question to Kafka, 1 to 2 ms. Raises `KafkaUnavailable`.
        """
        begun = self._refreshes
        while True:
            if self._refreshing is None or self._refreshing.done():
                self._refreshes += 1
                self._refreshing = asyncio.ensure_future(self._refresh())
            # One that was under way already may have asked Kafka before the caller's own write: it will not do.
            after_the_call = self._refreshes > begun
            await asyncio.shield(self._refreshing)
            if after_the_call:
                return

    async def _refresh(self) -> None:
        ends = readable_ends(self.entry, await self._offsets.ends(self.topic.topic, len(self.rings)))
        try:
            async with asyncio.timeout(REFRESH_S):
                await self._reached(
                    lambda: self.gone or all(r.end >= end for r, end in zip(self.rings, ends, strict=False))
                )
        except TimeoutError:
            raise KafkaUnavailable(f"the tail of {self.topic.topic} did not come") from None

    async def come_to(self, partition: int, offset: int) -> None:
        """Wait for a record that another process has read already, where this one's tail is behind.

        It is not in the log any more where it is not here then. Raises `KafkaUnavailable`.
        """
        if await self.has_partitions(partition + 1) and offset >= self.rings[partition].end:
            await self.refresh()

    async def wait(self, position: Position, timeout_s: float) -> bool:
        """Wait until there is something after a position, or never will be; False after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._reached(
                    lambda: (
                        self.gone
                        or self.is_closed_at(position)
                        or any(
                            at < ring.end for at, ring in zip(widen(position, len(self.rings)), self.rings, strict=True)
                        )
                    )
                )
        except TimeoutError:
            return False
        return True

    async def _reached(self, condition: Callable[[], bool]) -> None:
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def check() -> None:
            if not future.done() and condition():
                future.set_result(None)

        self._listeners.add(check)
        try:
            await future
        finally:
            self._listeners.discard(check)

    def json(self, record: Record) -> bytes:
        """A record as structured CloudEvents JSON, built once."""
        return record.json(self.entry.codec, self._defaults)

    def jsons(self, records: Iterable[Record]) -> list[bytes]:
        """Each of many."""
        codec, defaults = self.entry.codec, self._defaults
        return [record.json(codec, defaults) for record in records]

    def event(self, record: Record) -> Event:
        """A record as filters see it."""
        return Event.of(record, self.entry.codec, self._defaults)

    def remembered(self, record: Record) -> Event:
        """The same, one for all who ask at about the same time: a filter is asked once for each event."""
        key = (record.partition, record.offset)
        if (found := self._events.get(key)) is not None:
            return found[0]
        event = self.event(record)
        self._events[key] = (event, record.size_bytes)
        self._events_bytes += record.size_bytes
        while len(self._events) > REMEMBERED_EVENTS or self._events_bytes > REMEMBERED_BYTES:
            _, (_, size_bytes) = self._events.popitem(last=False)
            self._events_bytes -= size_bytes
        return event

    # What the tail calls, and who keeps a feed followed without waiting for it

    def asked(self) -> None:
        """Somebody wants it followed."""
        self.asked_s = time.monotonic()

    @property
    def is_followed(self) -> bool:
        """Whether somebody waits for what comes."""
        return bool(self._listeners)

    def is_idle(self, since_s: float) -> bool:
        """Whether nobody has asked for it since a time, by the monotonic clock, and nobody waits."""
        return self.asked_s < since_s and not self.is_followed

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every batch of new records, once the rings hold it."""
        self._listeners.add(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop calling `listener`."""
        self._listeners.discard(listener)

    def settle(self, new_events: int) -> None:
        """A batch is in the rings: evict what is too much, and tell the listeners."""
        now = time.monotonic()
        for ring in self.rings:
            ring.settle(now)
        self._tail_events.inc(new_events)
        for listener in list(self._listeners):
            listener()

    def expire(self, arrived_before_s: float) -> None:
        """Evict what arrived before a time."""
        for ring in self.rings:
            ring.expire(arrived_before_s)
        metrics.ring_bytes.labels(self.entry.feed.label).set(sum(ring.memory_bytes for ring in self.rings))

    def close(self, position: Position) -> None:
        """Nothing comes after a position any more."""
        self.closed_at = position
        for listener in list(self._listeners):
            listener()

    def end(self) -> None:
        """The topic is no more, or was made again: readers must ask anew."""
        self.gone = True
        for listener in list(self._listeners):
            listener()
