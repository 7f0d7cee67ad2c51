"""Conflation: of what a slow client has not had, the latest event of each key."""

from __future__ import annotations

from headrace.consumers.core.feed_log import Batch
from headrace.consumers.core.position import Position
from headrace.consumers.core.record import Record
from headrace.consumers.selected_log import SCAN_EVENTS, SelectedLog

SCANS = 20
"""Times that `SCAN_EVENTS` are read before what they came to is sent: nobody waits for long, however far behind."""


async def conflated(log: SelectedLog, position: Position, max_bytes: int) -> Batch:
    """The latest of each key among the next events, in their order, about `max_bytes`; those without a key all.

    Raises `PositionGone`, `KafkaUnavailable`.
    """
    latest: dict[object, Record] = {}
    size_bytes = 0
    for _ in range(SCANS):
        batch = await log.read(position, SCAN_EVENTS)
        position = batch.position
        for record in batch.records:
            key = record.key if record.key is not None else (record.partition, record.offset)
            if (older := latest.pop(key, None)) is not None:
                size_bytes -= older.size_bytes
            latest[key] = record
            size_bytes += record.size_bytes
        if size_bytes >= max_bytes or log.at_tail(position):
            break
    return Batch(list(latest.values()), position)
