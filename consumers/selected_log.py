"""A feed as one who wants only some of its events sees it: read like the feed, what is not wanted stepped over."""

from __future__ import annotations

import asyncio

from headrace.consumers.core.feed_log import BATCH_BYTES, Batch, FeedLog
from headrace.consumers.core.position import Position, lowered, widen
from headrace.consumers.core.record import Record
from headrace.consumers.selection import Selection
from headrace.kafka.partitioner import key_partition
from headrace.schemas.catalogue import Entry

SCAN_EVENTS = 1000
"""Events looked at before others get the event loop."""

_NEVER = 2**62
"""An offset that no partition reaches: nothing is read of one that stands there."""


class SelectedLog:
    """Reads of one feed what a selection wants.

    A position stays one of the whole feed: it is after all that was delivered or not wanted. Partitions that are not
    read stand still until those that are have been read to the tail, and then stand at the tail too: so the same read
    of the past has the same outcome, and all readers at the tail are at the same position.
    """

    def __init__(self, feed_log: FeedLog, selection: Selection) -> None:
        self.feed_log = feed_log
        self.selection = selection
        self._key = None if selection.key is None else selection.key.encode()

    @property
    def entry(self) -> Entry:
        """The feed."""
        return self.feed_log.entry

    @property
    def gone(self) -> bool:
        """Whether readers must ask anew."""
        return self.feed_log.gone

    def ends_at(self, position: Position) -> bool:
        """Whether nothing will come after a position: the feed is closed there, or readers must ask anew."""
        return self.gone or self.feed_log.is_closed_at(position)

    @property
    def tail(self) -> Position:
        """The position after the newest record that is here."""
        return self.feed_log.tail

    def at_tail(self, position: Position) -> bool:
        """Whether nothing that is here comes after a position."""
        return all(at >= end for at, end in zip(widen(position, len(self.tail)), self.tail, strict=True))

    async def check(self, position: Position) -> None:
        """Raise `PositionGone` where records after a position that are read are no longer kept."""
        await self.feed_log.check(self._past_others_history(self._masked(position)))

    async def read(self, position: Position, limit: int, max_bytes: int = BATCH_BYTES) -> Batch:
        """At most `limit` wanted records from a position on, about `max_bytes`.

        None at the tail, and where none of the next `SCAN_EVENTS` is wanted: then the position says how far it came.
        Raises `PositionGone`, `KafkaUnavailable`.
        """
        if self.selection.is_all:
            return await self.feed_log.read(position, limit, max_bytes)
        await asyncio.sleep(0)
        start = self._past_others_history(self._masked(position))
        scanned = SCAN_EVENTS if self.selection.looks else limit
        return self._selected(position, await self.feed_log.read(start, scanned, max_bytes), limit)

    def read_rings(self, position: Position, limit: int, max_bytes: int = BATCH_BYTES) -> Batch | None:
        """The same without waiting, from memory, however many are looked at; None where history must be read."""
        if self.selection.is_all:
            return self.feed_log.read_rings(position, limit, max_bytes)
        batch = self.feed_log.read_rings(self._masked(position), limit, max_bytes)
        return None if batch is None else self._selected(position, batch, limit)

    async def wait(self, position: Position, timeout_s: float) -> bool:
        """Wait until there is something after a position, wanted or not; False after `timeout_s`."""
        return await self.feed_log.wait(self._masked(position), timeout_s)

    def wants(self, record: Record) -> bool:
        """Whether a record is wanted; a filter is asked once for each event, whoever asks."""
        chosen = self.selection
        return (
            (chosen.partition is None or record.partition == chosen.partition)
            and (self._key is None or record.key == self._key)
            and (chosen.filter is None or self.feed_log.remembered(record).matches(chosen.filter))
        )

    def _masked(self, position: Position) -> Position:
        """The position with all partitions but the one that is read where nothing comes of them."""
        if (chosen := self.selection.partition) is None:
            return position
        return tuple(
            offset if p == chosen else _NEVER for p, offset in enumerate(widen(position, len(self.feed_log.rings)))
        )

    def _past_others_history(self, position: Position) -> Position:
        """The position without the history of partitions in which a key cannot be.

        It can be in one only where all writers use the feed's key field, and no partition was added since its
        definition was written; an empty key may be anywhere. An addition is not known at once, so what may have come
        after one is looked at everywhere.
        """
        rings, feed, counted = self.feed_log.rings, self.entry.feed, self.feed_log.counted
        if not self._key or feed.key is None or not len(rings) == len(counted) == feed.partitions:
            return position
        home = key_partition(self._key, len(rings))
        return tuple(
            offset if p == home else max(offset, min(ring.start, counted[p]))
            for p, (offset, ring) in enumerate(zip(widen(position, len(rings)), rings, strict=True))
        )

    def _selected(self, start: Position, batch: Batch, limit: int) -> Batch:
        position = batch.position
        chosen = self.selection.partition
        if chosen is not None:
            at_tail = position[chosen] >= self.tail[chosen]
            others = widen(start, len(position))
            position = tuple(
                offset if p == chosen else max(other, end) if at_tail else other
                for p, (offset, other, end) in enumerate(zip(position, others, self.tail, strict=False))
            )
        return first(Batch([record for record in batch.records if self.wants(record)], position), limit)


def first(batch: Batch, count: int) -> Batch:
    """The first `count` records of a batch, with the position after them: the others come next."""
    left_out = batch.records[count:]
    if not left_out:
        return batch
    return Batch(batch.records[:count], lowered(batch.position, ((r.partition, r.offset) for r in left_out)))
