"""Where a replay goes on: told by the feed itself, from the marks on the events that it wrote.

Each event carries two CloudEvents extensions: `replayrow`, the number of its row, and `replayrun`, when this run
over the source began. A sender never hands over a row `WINDOW` or more above the first one that is not acknowledged.
So when row M is in the log, every row up to M - WINDOW is in it too, whatever way the process ended; of the rows
between, those found in the log need not be written again up to the first that is missing. From there on all are
written, in their order, under the ids that they had.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace.kafka.follower import consumer_config
from headrace.schemas.event import PREFIX

WINDOW = 10_000
"""Rows between the first unacknowledged one and the last handed over. A smaller number could lose the rows of a
process that worked with the larger one."""

Headers = dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]]
"""As confluent-kafka gives them."""

ROW = "replayrow"
RUN = "replayrun"

FIRST_LOOK = 2_000
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A row in the log. `run` is RFC 3339 text in UTC: it sorts by time."""

    run: str
    row: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on: above row `after`, except for the rows `written`, until one is missing."""

    run: str
    after: int = 0
    written: frozenset[int] = frozenset()

    @property
    def last(self) -> int:
        """The highest row that was written."""
        return max(self.written, default=self.after)


def place(marks: Iterable[Mark]) -> Place | None:
    """Where the latest run goes on; None where there was none."""
    found = set(marks)
    if not found:
        return None
    last = max(found)
    rows = {mark.row for mark in found if mark.run == last.run}
    after = max(0, last.row - WINDOW)
    while after + 1 in rows:
        after += 1
    return Place(last.run, after, frozenset(row for row in rows if row > after))


def mark_of(headers: Headers | None, source: str) -> Mark | None:
    """The mark of a record that a replay of this source wrote; None for any other."""
    found = dict(headers or ())
    if _text(found.get("ce_source")) != source:
        return None
    row, run = _text(found.get(PREFIX + ROW)), _text(found.get(PREFIX + RUN))
    return Mark(run, int(row)) if run and row.isdecimal() else None


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def look_back(kafka: Mapping[str, Any], topic: str, ranges: Sequence[range], source: str) -> Place | None:
    """Read back from the end of a topic until the place is known. `ranges` are the offsets of each partition.

    Usually that is the last few thousand records; a topic that the source was never replayed into is read whole.
    Blocks; raises `KafkaException`.
    """
    consumer = Consumer({**consumer_config(kafka, "replay-resume"), "auto.offset.reset": "earliest"})
    try:
        lanes = [_Lane(TopicPartition(topic, p), r.start, r.stop) for p, r in enumerate(ranges)]
        look = FIRST_LOOK
        while True:
            found = place(mark for lane in lanes for mark in lane.marks)
            lacking = [lane for lane in lanes if not lane.settled(found)]
            if not lacking:
                return found
            _read(consumer, lacking, look, source)
            look *= 4
    finally:
        consumer.close()


@dataclass(slots=True)
class _Lane:
    """One partition, read from `start` to its end so far."""

    at: TopicPartition
    low: int
    start: int
    marks: set[Mark] = field(default_factory=set)

    def settled(self, found: Place | None) -> bool:
        """Whether nothing further back can change the place: this is the beginning, or lies before the window."""
        if self.start <= self.low:
            return True
        floor = None if found is None else Mark(found.run, max(0, found.last - WINDOW))
        return floor is not None and any(mark <= floor for mark in self.marks)


def _read(consumer: Consumer, lanes: list[_Lane], count: int, source: str) -> None:
    """The records before each lane's start."""
    stops = {lane.at.partition: lane.start for lane in lanes}
    by_partition = {lane.at.partition: lane for lane in lanes}
    for lane in lanes:
        lane.start = max(lane.low, lane.start - count)
    consumer.assign([TopicPartition(lane.at.topic, lane.at.partition, lane.start) for lane in lanes])
    heard_s = time.monotonic()
    while stops:
        batch = consumer.consume(5_000, 0.1)
        if batch:
            heard_s = time.monotonic()
        elif time.monotonic() - heard_s > TIMEOUT_S:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "reading where the replay stood"))
        for message in batch:
            _take(message, by_partition, stops, source)
    consumer.unassign()


def _take(message: Message, lanes: Mapping[int, _Lane], stops: dict[int, int], source: str) -> None:
    partition, offset = message.partition() or 0, message.offset() or 0
    if (error := message.error()) is not None:
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        stops.pop(partition, None)
    elif partition in stops:
        if offset < stops[partition] and (mark := mark_of(message.headers(), source)) is not None:
            lanes[partition].marks.add(mark)
        if offset >= stops[partition] - 1:
            del stops[partition]
