"""Which events are to be delivered once more: one, a range, or those that became dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position, widen
from headrace.consumers.core.record import Record
from headrace.consumers.relay.lineup import now_ms
from headrace.consumers.relay.order_key import order_key
from headrace.consumers.relay.running import Running
from headrace.consumers.relay.settling import TooMany
from headrace.consumers.relay.state import Parked
from headrace.schemas.dead_letter import PREFIX

READ_EVENTS = 1000
MOST = 10_000
"""More are not noted one by one: a seek moves the subscription there."""


async def one(runner: Running, partition: int, offset: int) -> list[Parked]:
    """One event of the log; none where there is no such event. Raises `PositionGone`, `KafkaUnavailable`."""
    if not 0 <= partition < len(runner.feed_log.rings):
        return []
    records = (await runner.feed_log.read(runner.feed_log.only(partition, offset), 1)).records
    return [_again(runner, record) for record in records if (record.partition, record.offset) == (partition, offset)]


async def between(runner: Running, start: Position, end: Position) -> list[Parked]:
    """The wanted events of a range of positions; raises `TooMany`, `PositionGone`, `KafkaUnavailable`."""
    found: list[Parked] = []
    async for record in _records(runner.feed_log, start, end):
        if runner.intake.wants(record):
            found.append(_again(runner, record))
            if len(found) > MOST:
                raise TooMany(f"the range holds more than {MOST} events")
    return found


async def dead_letters(runner: Running, log: FeedLog, start: Position) -> list[Parked]:
    """The dead letters of a subscription from a position of their feed on, each event once."""
    beginning = await runner.feed_log.beginning()
    found: dict[tuple[int, int], Parked] = {}
    async for letter in dead_letters_of(runner, log, start):
        said = said_of(letter)
        if "end" in said or "omitted" in said:
            continue  # it holds no event
        partition, offset = int(said["partition"]), int(said["offset"])
        kept = partition < len(beginning) and offset >= beginning[partition]
        parked = _again(runner, letter)
        found[partition, offset] = Parked(
            partition, offset, 0, parked.due_ms, parked.key, None if kept else letter.offset
        )
        if len(found) > MOST:
            raise TooMany(f"there are more than {MOST} dead letters; give a later time")
    return list(found.values())


async def dead_letters_of(runner: Running, log: FeedLog, start: Position) -> AsyncIterator[Record]:
    """The dead letters of a subscription, of all that there are now.

    Those of a stream that had the name before are left out: their offsets are of another topic.
    """
    whose = {"subscription": runner.subscription.id, "topic": runner.feed_log.topic.topic}
    await log.refresh()
    async for letter in _records(log, start, log.tail):
        if whose.items() <= said_of(letter).items():
            yield letter


def said_of(letter: Record) -> dict[str, str]:
    """What a dead letter says of itself."""
    return {
        name.removeprefix(PREFIX): value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in letter.headers
        if name.startswith(PREFIX) and value is not None
    }


async def _records(log: FeedLog, start: Position, end: Position) -> AsyncIterator[Record]:
    position = widen(start, len(log.rings))
    end = widen(end, len(log.rings))
    while any(at < until for at, until in zip(position, end, strict=True)):
        batch = await log.read(position, READ_EVENTS)
        if not batch.records:
            return
        position = batch.position
        for record in batch.records:
            if record.offset < end[record.partition]:
                yield record


def _again(runner: Running, record: Record) -> Parked:
    return Parked(record.partition, record.offset, 0, now_ms(), order_key(record, runner.subscription.options))
