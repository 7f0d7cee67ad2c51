"""What a subscription has not delivered, in order: for a client that pulls while the endpoint is away."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from headrace.consumers.core.feed_log import Batch
from headrace.consumers.core.position import Position, lowered
from headrace.consumers.core.record import Record
from headrace.consumers.relay.running import Running
from headrace.consumers.relay.state import LaneState, Place, Stored


async def undelivered(runner: Running, limit: int, wait_s: float) -> Batch:
    """At most `limit` events that are wanted and not delivered, parked ones too, and the position after them.

    Where there are none, wait so long for the first. Raises `PositionGone`, `KafkaUnavailable`.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + wait_s
    await runner.feed_log.refresh()  # who has just written an event finds it here
    states = runner.intake.states()
    # Of one whose event is only among the dead letters the log has nothing to give.
    parked = {(waits.partition, waits.offset) for waits in runner.waiting() if waits.dead is None}
    position = lowered([states[partition].position for partition in sorted(states)], parked)
    found: list[Record] = []
    while len(found) < limit:
        batch = await runner.feed_log.read(position, limit - len(found))
        position = batch.position
        if not batch.records:
            left_s = deadline_s - loop.time()
            over = runner.feed_log.gone or runner.feed_log.is_closed_at(position)
            if found or left_s <= 0 or over or not await runner.feed_log.wait(position, left_s):
                break
            continue
        found += [
            record
            for record in batch.records
            if (record.partition, record.offset) in parked
            or (not _settled(states, record) and runner.intake.wants(record))
        ]
    return Batch(found, position)


def _settled(states: dict[int, LaneState], record: Record) -> bool:
    state = states.get(record.partition)
    return state is not None and (
        record.offset < state.position or any(first <= record.offset < end for first, end in state.done)
    )


def acknowledged(stored: Stored, position: Position) -> tuple[Stored, list[Place]]:
    """A state in which all below a position is done, and the places of events so done that are parked, or may be."""
    lanes = dict(stored.lanes)
    for partition, offset in enumerate(position):
        lane = lanes.get(partition)
        if lane is not None and lane.position < offset:
            lanes[partition] = _advanced(lane, offset)
    places = {(parked.partition, parked.offset) for parked in stored.parked} | stored.unsure
    done = {(p, offset) for p, offset in places if p < len(position) and offset < position[p]}
    kept = [parked for parked in stored.parked if (parked.partition, parked.offset) not in done]
    return replace(stored, lanes=lanes, parked=kept, unsure=stored.unsure - done), sorted(done)


def _advanced(lane: LaneState, offset: int) -> LaneState:
    for first, end in lane.done:
        if first <= offset < end:
            offset = end
    return LaneState(offset, tuple((first, end) for first, end in lane.done if first > offset))
