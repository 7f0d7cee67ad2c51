"""Writing what becomes of events: reports first, then the positions that step over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError

from headrace import metrics
from headrace.consumers.relay.definition import POSITIONS, position_partition
from headrace.kafka.bridge import Ack, Outgoing, ProducerBridge, QueueFull, Undelivered

log = structlog.get_logger(__name__)

Record = tuple[bytes, bytes | None]

MAX_REPORTS = 50_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is to be written of a subscription, and who is told once it is acknowledged."""

    records: list[Record]
    acknowledged: Callable[[], None]


class Journal:
    """Writes to `headrace.positions`, in order, through one idempotent producer.

    `mark(subscription, snapshot)` says that a position has moved; the snapshot is taken when it is written, so that a
    thousand moves in an interval are one record. Invariant: what was given to `report` before a snapshot is taken is
    acknowledged before the snapshot is written.
    """

    def __init__(self, bridge: ProducerBridge, interval_s: float) -> None:
        self._bridge = bridge
        self._interval_s = interval_s
        self._dirty: dict[str, Callable[[], Snapshot]] = {}
        self._reports: list[Outgoing] = []
        self.reports_fail = False
        self._writing = asyncio.Lock()
        # Those that wait for a position to be written, by subscription; and the task that writes for them.
        self._wanted: dict[str, list[asyncio.Future[None]]] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._ticking = asyncio.ensure_future(self._tick())

    def mark(self, subscription: str, snapshot: Callable[[], Snapshot]) -> None:
        """A position has moved."""
        self._dirty[subscription] = snapshot

    def report(self, record: Outgoing) -> None:
        """An attempt or a dead letter: in Kafka before any position that steps over its event."""
        self._reports.append(record)

    @property
    def behind(self) -> bool:
        """Whether so many reports wait for Kafka that no more should come."""
        return len(self._reports) >= MAX_REPORTS

    async def write(self, subscription: str, records: Iterable[Record]) -> None:
        """Write at once and wait for the acknowledgement; raises `Undelivered` or `QueueFull`."""
        await self._bridge.write(_outgoing(subscription, records))

    async def forget(self, subscription: str, keys: Iterable[bytes]) -> None:
        """Remove records. Where Kafka does not take it, whoever takes the partition up next finds them."""
        try:
            await self.write(subscription, [(key, None) for key in keys])
        except (Undelivered, QueueFull) as error:
            log.warning("state_not_removed", subscription=subscription, reason=str(error))

    async def flush(self, subscription: str) -> None:
        """Write the position of one subscription now, if it has moved; raises `Undelivered` or `QueueFull`.

        What is asked for while a write is under way goes together into the next one. After it has returned, all that
        was marked before the call is acknowledged by Kafka.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(subscription, []).append(done)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.ensure_future(self._flush())
        await done

    async def _flush(self) -> None:
        while self._wanted:
            async with self._writing:
                wanted, self._wanted = self._wanted, {}
                dirty = {name: self._dirty.pop(name) for name in wanted if name in self._dirty}
                failed: Exception | None = None
                try:
                    await self._write_all({name: snapshot() for name, snapshot in dirty.items()})
                except Exception as error:  # each who waits is told
                    self._dirty = {**dirty, **self._dirty}
                    failed = error
                for done in (done for waiting in wanted.values() for done in waiting if not done.done()):
                    if failed is None:
                        done.set_result(None)
                    else:
                        done.set_exception(failed)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            if self._dirty or self._reports:
                async with self._writing:
                    dirty, self._dirty = self._dirty, {}
                    try:
                        await self._write_all(self._taken(dirty))
                    except Exception as error:
                        # Nothing is lost by it: a crash now would only repeat more. Try again with what is true then.
                        log.warning("positions_not_written", count=len(dirty), reason=repr(error))
                        metrics.errors.labels("relay").inc()
                        self._dirty = {**dirty, **self._dirty}

    def _taken(self, dirty: dict[str, Callable[[], Snapshot]]) -> dict[str, Snapshot]:
        """An error of ours with one subscription must not end the writing of all; that one is not taken for written."""
        taken: dict[str, Snapshot] = {}
        for name, snapshot in dirty.items():
            try:
                taken[name] = snapshot()
            except Exception:
                log.exception("position_not_told", subscription=name)
                metrics.errors.labels("relay").inc()
                self._dirty[name] = snapshot
        return taken

    async def _write_all(self, taken: dict[str, Snapshot]) -> None:
        await self._write_reports()
        await self._bridge.write([o for name, snapshot in taken.items() for o in _outgoing(name, snapshot.records)])
        for snapshot in taken.values():
            snapshot.acknowledged()

    async def _write_reports(self) -> None:
        reports, self._reports = self._reports, []
        try:
            results = await self._bridge.send(reports)
        except QueueFull:
            self._reports = reports + self._reports
            raise
        failed: list[tuple[Outgoing, KafkaError]] = []
        for report, result in zip(reports, results, strict=True):
            if isinstance(result, Ack):
                continue
            if result.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                # It will never be taken; its event is where it was, in the log.
                log.error("report_too_large", topic=report.topic, size_bytes=report.size_bytes)
                metrics.errors.labels("relay").inc()
            else:
                failed.append((report, result))
        self.reports_fail = bool(failed)
        if failed:
            self._reports = [report for report, _ in failed] + self._reports
            raise Undelivered(failed[0][1])

    async def close(self) -> None:
        """Stop; whoever marked something has flushed it by now."""
        self._ticking.cancel()
        if self._flushing is not None:
            self._flushing.cancel()


def _outgoing(subscription: str, records: Iterable[Record]) -> list[Outgoing]:
    partition = position_partition(subscription)
    return [Outgoing(POSITIONS.name, key, value, partition=partition) for key, value in records]
