"""Writing what batches became. A batch is acknowledged once Kafka has acknowledged all its output, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError
from faust.types import EventT

from headrace.kafka.bridge import Ack, Outgoing, ProducerBridge, QueueFull, Undelivered

AHEAD = 4
"""Batches whose output may be on its way while the next is transformed."""


class Emitter:
    """Writes output in the order of its batches. `fail` is called with what makes going on impossible."""

    def __init__(self, bridge: ProducerBridge, fail: Callable[[BaseException], None]) -> None:
        self._bridge = bridge
        self._fail = fail
        self._pending: set[asyncio.Future[list[Ack | KafkaError]]] = set()

    async def emit(self, event: EventT[Any], output: Sequence[Outgoing]) -> None:
        """Write a batch's output. Waits while too much is on its way."""
        if len(self._pending) >= AHEAD:
            await self._one_written()
        while True:
            try:
                future = self._bridge.send(output)
                break
            except QueueFull:
                await self._one_written()
        self._pending.add(future)
        future.add_done_callback(partial(self._written, event))

    async def _one_written(self) -> None:
        await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)

    def _written(self, event: EventT[Any], future: asyncio.Future[list[Ack | KafkaError]]) -> None:
        self._pending.discard(future)
        if future.cancelled():
            return
        refused = next((result for result in future.result() if isinstance(result, KafkaError)), None)
        if refused is None:
            event.ack()
        else:
            self._fail(Undelivered(refused))

    async def flush(self) -> None:
        """Wait until all output has its verdict."""
        while self._pending:
            await self._one_written()
