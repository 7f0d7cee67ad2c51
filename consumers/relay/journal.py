"""Writing the state of subscriptions: moving positions at most once per interval, all else at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError

from headrace import metrics
from headrace.consumers.relay.definition import POSITIONS, position_partition
from headrace.kafka.bridge import Outgoing, ProducerBridge, QueueFull

log = structlog.get_logger(__name__)

Record = tuple[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is to be written of a subscription, and who is told once it is acknowledged."""

    records: list[Record]
    acknowledged: Callable[[], None]


class Journal:
    """Writes to `headrace.positions`, in order, through one idempotent producer.

    `mark(subscription, snapshot)` says that a position has moved; the snapshot is taken when it is written, so that a
    thousand moves in an interval are one record.
    """

    def __init__(self, bridge: ProducerBridge, interval_s: float) -> None:
        self._bridge = bridge
        self._interval_s = interval_s
        self._dirty: dict[str, Callable[[], Snapshot]] = {}
        self._ticking = asyncio.ensure_future(self._tick())

    def mark(self, subscription: str, snapshot: Callable[[], Snapshot]) -> None:
        """A position has moved."""
        self._dirty[subscription] = snapshot

    async def write(self, subscription: str, records: Iterable[Record]) -> None:
        """Write at once and wait for the acknowledgement; raises `Undelivered` or `QueueFull`."""
        await self._bridge.write(_outgoing(subscription, records))

    async def flush(self, subscription: str) -> None:
        """Write the position of one subscription now, if it has moved."""
        if (snapshot := self._dirty.pop(subscription, None)) is not None:
            taken = snapshot()
            await self.write(subscription, taken.records)
            taken.acknowledged()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            if self._dirty:
                dirty, self._dirty = self._dirty, {}
                try:
                    await self._write_all(dirty)
                except Exception:
                    # An error of ours with one subscription must not end the writing of all.
                    log.exception("positions_not_written", count=len(dirty))
                    metrics.errors.labels("relay").inc()

    async def _write_all(self, dirty: dict[str, Callable[[], Snapshot]]) -> None:
        taken = {subscription: snapshot() for subscription, snapshot in dirty.items()}
        outgoing = [o for subscription, snapshot in taken.items() for o in _outgoing(subscription, snapshot.records)]
        try:
            failed = [result for result in await self._bridge.send(outgoing) if isinstance(result, KafkaError)]
        except QueueFull as error:
            failed = [KafkaError(KafkaError._QUEUE_FULL, str(error))]
        if failed:
            # Nothing is lost by it: a crash now would only repeat more. Try again with what is true then.
            log.warning("positions_not_written", count=len(failed), reason=failed[0].str())
            metrics.errors.labels("relay").inc()
            self._dirty = {**dirty, **self._dirty}
            return
        for snapshot in taken.values():
            snapshot.acknowledged()

    async def close(self) -> None:
        """Stop; whoever marked something has flushed it by now."""
        self._ticking.cancel()


def _outgoing(subscription: str, records: Iterable[Record]) -> list[Outgoing]:
    partition = position_partition(subscription)
    return [Outgoing(POSITIONS.name, key, value, partition=partition) for key, value in records]
