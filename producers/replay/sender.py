"""Handing rows to Kafka in order, with a bound on how many are open, and again until they are acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError

from headrace.kafka.bridge import Ack, ProducerBridge, QueueFull
from headrace.producers.replay.encode import Ready
from headrace.producers.replay.resume import WINDOW

log = structlog.get_logger(__name__)

BATCH = 500
RETRY_PAUSE_S = 0.5

PERMANENT = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.TOPIC_AUTHORIZATION_FAILED}
"""Errors that no retry mends."""

Results = list[Ack | KafkaError]


class NotAcknowledged(Exception):
    """Kafka would not take a row; all before it are acknowledged."""

    def __init__(self, row: int, error: KafkaError, failing_s: float) -> None:
        since = f" for {failing_s:.0f} s" if failing_s >= 1 else ""
        super().__init__(f"row {row} was not acknowledged{since}: {error.str()}")
        self.row = row


@dataclass(slots=True)
class _Batch:
    rows: Sequence[Ready]
    results: asyncio.Future[Results]
    handed_over_s: float


class Sender:
    """Rows in ascending order of number. `on_acknowledged` is told of them in that order.

    Rows that fail are handed over again, with all that came after them: some of those may have been written, and come
    twice. That is rare, since librdkafka repeats by itself, in order, until its delivery times out. Gives up when a
    row was not acknowledged for `retry_s`. After an exception it is of no more use.
    """

    def __init__(
        self, bridge: ProducerBridge, *, retry_s: float, on_acknowledged: Callable[[Sequence[Ready]], None]
    ) -> None:
        self._bridge = bridge
        self._retry_s = retry_s
        self._on_acknowledged = on_acknowledged
        self._open: deque[_Batch] = deque()
        self._failing_since_s: float | None = None

    async def send(self, rows: Sequence[Ready]) -> None:
        """Hand over at most `BATCH` rows, of numbers less than `WINDOW` apart. Waits while too many are open.

        Raises `NotAcknowledged`.
        """
        if not rows:
            return
        while self._open and rows[-1].number - self._open[0].rows[0].number >= WINDOW:
            await self._settle_first()
        await self._hand_over(rows)
        await self.settle()

    async def settle(self) -> None:
        """Take note of what has been acknowledged, without waiting for more. Raises `NotAcknowledged`."""
        while self._open and self._open[0].results.done():
            await self._settle_first()

    async def flush(self) -> None:
        """Wait until nothing is open. Raises `NotAcknowledged`."""
        while self._open:
            await self._settle_first()

    async def _hand_over(self, rows: Sequence[Ready]) -> None:
        records = [row.record for row in rows]
        while True:
            try:
                handed_over_s = time.monotonic()
                self._open.append(_Batch(rows, self._bridge.send(records), handed_over_s))
            except QueueFull:
                # A bridge with nothing open takes any request, so there is one to wait for.
                await self._settle_first()
            else:
                return

    async def _settle_first(self) -> None:
        batch = self._open[0]
        results = await asyncio.shield(batch.results)
        failed = next((i for i, result in enumerate(results) if isinstance(result, KafkaError)), None)
        if failed is None:
            self._open.popleft()
            self._failing_since_s = None
            self._on_acknowledged(batch.rows)
            return
        error = results[failed]
        assert isinstance(error, KafkaError)
        await self._send_again(failed, error)

    async def _send_again(self, failed: int, error: KafkaError) -> None:
        """All open rows from the one at `failed` of the first batch on."""
        first = self._open[0].rows
        if failed:
            self._on_acknowledged(first[:failed])
            self._failing_since_s = None
        if self._failing_since_s is None:
            self._failing_since_s = self._open[0].handed_over_s
        failing_s = time.monotonic() - self._failing_since_s
        # Each must have its verdict first, or the old one could arrive after the new one.
        await asyncio.wait([batch.results for batch in self._open])
        if error.code() in PERMANENT or failing_s >= self._retry_s:
            raise NotAcknowledged(first[failed].number, error, failing_s)
        again = [first[failed:], *(batch.rows for batch in list(self._open)[1:])]
        self._open.clear()
        log.warning("rows_sent_again", first=first[failed].number, batches=len(again), reason=error.str())
        await asyncio.sleep(RETRY_PAUSE_S)
        for rows in again:
            await self._hand_over(rows)
