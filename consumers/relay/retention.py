"""How long until the log drops what was not delivered.

Kafka drops a segment when its *newest* record is older than the topic's `retention.ms`, so a record is kept at least
that long: the times here are the earliest ones. What `retention.bytes` drops is seen only when it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace.consumers.relay.state import Parked

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class LaneAge:
    """The oldest undelivered event of a lane.

    `position` is the lane's, or the offset of its oldest parked event where that is lower. `earliest` is the first
    offset that the partition still has. `timestamp_ms`, since 1970, is that of the record at `position`, or of the
    oldest one kept; None where nothing is undelivered, and below 0 where the record has none.
    """

    position: int
    earliest: int
    timestamp_ms: int | None


def hours_until_loss(lanes: Iterable[LaneAge], retention_ms: int | None, now_ms: int) -> float | None:
    """Hours until the first undelivered event of any lane may be dropped; 0 where that may have happened.

    None where there is nothing undelivered, or nothing is ever dropped: `retention_ms` is None, or -1 as Kafka has it.
    """
    if retention_ms is None or retention_ms < 0:
        return None
    left_ms = [left for lane in lanes if (left := _left_ms(lane, retention_ms, now_ms)) is not None]
    return min(left_ms) / HOUR_MS if left_ms else None


def _left_ms(lane: LaneAge, retention_ms: int, now_ms: int) -> int | None:
    if lane.position < lane.earliest:
        return 0
    if lane.timestamp_ms is None or lane.timestamp_ms < 0:
        return None
    return max(lane.timestamp_ms + retention_ms - now_ms, 0)


def at_risk_before_ms(retention_ms: int | None, margin_ms: int, now_ms: int) -> int | None:
    """Records with an older timestamp may be dropped within `margin_ms`; None where nothing is ever dropped.

    Kafka tells the first offset that is not (`offsets_for_times`). The margin counts at most a tenth of the retention:
    else every event of a topic that is kept for minutes would be at risk as soon as it was parked.
    """
    if retention_ms is None or retention_ms < 0:
        return None
    return now_ms - retention_ms + min(margin_ms, retention_ms // 10)


def parked_at_risk(parked: Iterable[Parked], safe_from: Mapping[int, int]) -> list[Parked]:
    """Parked events that must become dead letters now, in the order of the log.

    `safe_from` is, per partition, the first offset that outlives the margin: Kafka's answer for `at_risk_before_ms`,
    or the end of the partition where all of it is older. In a partition that it does not name, nothing is at risk.
    """
    at_risk = [p for p in parked if p.offset < safe_from.get(p.partition, 0)]
    return sorted(at_risk, key=lambda p: (p.partition, p.offset))
