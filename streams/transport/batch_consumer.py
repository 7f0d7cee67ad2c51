"""Faust's consumer, by the batch: what one poll gives of a partition is one message.

Stock Faust spends four tasks and a wait on every message; that its messages hold thousands of records is what makes
it fast (see ARCHITECTURE.md). Flow control, generations and rebalancing are Faust's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP, Message
from faust.types.tuples import ConsumerMessage, ack_lock
from mode.utils.futures import notify

from headrace.streams.transport.batch import Batch
from headrace.streams.transport.progress import Progress


class BatchConsumer(Consumer):
    """Acknowledging a message of a batch topic says that all its records are done."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._progress = Progress()
        super().__init__(*args, **options)

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def _by_batch(self, topic: str) -> bool:
        return topic in cast("Any", self.transport).batch_topics

    # Reading

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        polled = await super()._getmany(active_partitions, timeout)
        return {
            tp: [Batch(tp.topic, tp.partition, records)] if self._by_batch(tp.topic) else records
            for tp, records in polled.items()
        }

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Batch):
            return super()._to_message(tp, record)
        message: Any = super()._to_message(tp, record.records[-1])
        message.key, message.value = None, record
        # What is behind the place where reading goes on, Faust will drop: left over from before a rebalance.
        read_offset = self._read_offset[tp]
        if read_offset is None or message.offset >= read_offset:
            self._progress.begin(message)
        return cast("ConsumerMessage", message)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if not self._by_batch(tp.topic):
            await super()._add_gap(tp, offset_from, offset_to)

    # Finishing and committing

    def ack(self, message: Message) -> bool:
        """A message was processed; False where it is not the first time."""
        if not self._by_batch(message.topic):
            return super().ack(message)
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
            self._unacked_messages.discard(message)
            self._progress.finish(message)
        notify(self._waiting_for_ack)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        yield from super()._filter_tps_with_pending_acks(topics)
        for tp in self._progress.partitions:
            if topics is None or tp in topics or tp.topic in topics:
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        return self._progress.next_offset(tp) if self._by_batch(tp.topic) else super()._new_offset(tp)

    # Starting over from what was committed

    async def perform_seek(self) -> None:
        """Go back to the committed offsets, after a rebalance."""
        self._progress.forget(self._progress.partitions)
        await super().perform_seek()

    async def seek(self, partition: TP, offset: int) -> None:
        """Go to an offset."""
        self._progress.forget([partition])
        await super().seek(partition, offset)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Partitions go to another; what is finished is committed first."""
        await super().on_partitions_revoked(revoked)
        self._progress.forget(revoked)


class _Thread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust reads aborted records too unless it runs its own transactions.
        consumer._isolation_level = "read_committed"
        return consumer
