"""Keeping what a next owner of a subscription must know: its lanes, its parked events, how its endpoint stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from headrace import metrics
from headrace.consumers.core.position import Position
from headrace.consumers.relay.grant import Grant, grant_key, grant_record
from headrace.consumers.relay.intake import Intake
from headrace.consumers.relay.journal import Journal, Record, Snapshot
from headrace.consumers.relay.lineup import Job
from headrace.consumers.relay.state import (
    Parked,
    Place,
    Stored,
    endpoint_record,
    lane_record,
    name_of,
    parked_key,
    parked_record,
)
from headrace.kafka.bridge import QueueFull, Undelivered

log = structlog.get_logger(__name__)


class Keeper:
    """Writes the state of one subscription under one epoch.

    What moves is written by the journal soon, together; a parked event's reference at once, as the position may step
    over the event only after it is acknowledged. `endpoint` gives the record of how the endpoint stands.
    """

    def __init__(
        self,
        state_key: str,
        found: Stored,
        intake: Intake,
        journal: Journal,
        endpoint: Callable[[], Mapping[str, Any]],
        before_write: Callable[[], None],
    ) -> None:
        self._state_key = state_key
        self._name = name_of(state_key)
        self._epoch = found.epoch
        self._writer = found.writer
        self._lane_keys = {partition: set(keys) for partition, keys in found.lane_keys.items()}
        self._intake = intake
        self._journal = journal
        self._endpoint = endpoint
        self._endpoint_written: Mapping[str, Any] = endpoint()
        self._before_write = before_write
        self._closed = False
        # Of events that are parked no more, and of grants that count no more, until their removal is acknowledged.
        self._removed: dict[bytes, None] = {}
        # Where a reference is being written, or may have been. It is removed once its event is done: before, that could
        # take away one that is written meanwhile.
        self._unsure: set[Place] = set(found.unsure)

    @property
    def lane_keys(self) -> dict[int, set[bytes]]:
        """The keys of all records of the lanes that are known, by partition."""
        return self._lane_keys

    @property
    def unsure(self) -> frozenset[Place]:
        """The places of references that may be in Kafka, as far as is known."""
        return frozenset(self._unsure)

    def mark(self) -> None:
        """Something has moved."""
        if not self._closed:
            self._journal.mark(self._name, self._snapshot)

    def unpark(self, job: Job) -> None:
        """A parked event is done."""
        self._unpark(job.partition, job.offset)

    def settled(self, job: Job) -> None:
        """An event is done, parked or not: of one that is not, a reference may be in Kafka all the same."""
        if job.parked or (job.partition, job.offset) in self._unsure:
            self.unpark(job)
        else:
            self.mark()

    def settled_below(self, position: Position) -> None:
        """All below a position is done, read or not."""
        for partition, offset in list(self._unsure):
            if partition < len(position) and offset < position[partition]:
                self._unpark(partition, offset)

    def _unpark(self, partition: int, offset: int) -> None:
        self._unsure.discard((partition, offset))
        self._removed[parked_key(self._state_key, self._epoch, partition, offset)] = None
        self.mark()

    async def grant(self, name: str, grant: Grant) -> None:
        """Write what is leased; raises `Undelivered` or `QueueFull`."""
        await self._journal.write(self._name, [grant_record(self._state_key, self._epoch, name, grant)])

    def withdraw(self, name: str) -> None:
        """A grant counts no more."""
        self._removed[grant_key(self._state_key, self._epoch, name)] = None
        self.mark()

    async def park(self, parked: Sequence[Parked]) -> bool:
        """Write references; False where they were not acknowledged."""
        places = {(reference.partition, reference.offset) for reference in parked}
        self._unsure |= places
        records = [parked_record(self._state_key, self._epoch, reference) for reference in parked]
        try:
            await self._journal.write(self._name, records)
        except (Undelivered, QueueFull) as error:
            # Nothing is lost by it: the next owner would only repeat more.
            log.warning("state_not_written", subscription=self._name, reason=str(error))
            metrics.errors.labels("relay").inc()
            return False
        self._unsure -= places
        for key, _ in records:
            # One that was done before, and is tried again on demand: its removal must not follow now.
            self._removed.pop(key, None)
        return True

    async def commit(self) -> None:
        """Return once all that was marked is in Kafka; raises `Undelivered` or `QueueFull`."""
        await self._journal.flush(self._name)

    async def flush(self) -> None:
        """Write what has moved now."""
        try:
            await self.commit()
        except (Undelivered, QueueFull) as error:
            log.warning("state_not_written", subscription=self._name, reason=str(error))

    def close(self) -> None:
        """Write nothing more: another goes on, and what came late must not be written over what that one writes."""
        self._closed = True

    def _snapshot(self) -> Snapshot:
        self._before_write()
        moved = self._intake.moved()
        removed = list(self._removed)
        lanes = {p: lane_record(self._state_key, self._epoch, self._writer, p, state) for p, _, state in moved}
        records: list[Record] = [*lanes.values()]
        # What owners before have written counts until it is in ours.
        records += [(key, None) for p, (own, _) in lanes.items() for key in self._lane_keys.get(p, set()) - {own}]
        records += [(key, None) for key in removed]
        endpoint = self._endpoint()
        if endpoint != self._endpoint_written:
            records.append(endpoint_record(self._state_key, endpoint))

        def acknowledged() -> None:
            self._endpoint_written = endpoint
            self._lane_keys.update({p: {own} for p, (own, _) in lanes.items()})
            for _, lane, _ in moved:
                lane.written()
            for key in removed:
                self._removed.pop(key, None)

        return Snapshot(records, acknowledged)
