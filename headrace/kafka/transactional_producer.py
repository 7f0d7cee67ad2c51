"""A producer of transactions under one id, for one event loop. Its calls block, so they run in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headrace.kafka.bridge import Ack, Outgoing

log = structlog.get_logger(__name__)

TRANSACTION_S = 10.0
"""After so long Kafka undoes a transaction that nobody finishes."""

FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
"""Another producer has begun under the same id."""


_UNHEARD = logging.getLogger("librdkafka.transactions")
_UNHEARD.disabled = True
"""What it cannot do it raises; that another begins is no error, though librdkafka calls it a fatal one."""


class TransactionalProducer:
    """Every call raises `KafkaException`; then `drop` it. What it had begun is undone by whoever begins next."""

    def __init__(self, kafka: Mapping[str, Any], transactional_id: str) -> None:
        self._config = {
            **kafka,
            "client.id": f"headrace-{transactional_id}",
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(TRANSACTION_S * 1000),
            "delivery.timeout.ms": int(TRANSACTION_S * 1000),
            "linger.ms": 0,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 0,
            # Else it looks for a broker only when it asks who coordinates, finds none, and waits for half a second.
            "enable.sparse.connections": False,
            "logger": _UNHEARD,
            "error_cb": _log_error,
        }
        self._producer: Producer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=transactional_id)

    async def begin(self) -> None:
        """Fence every other producer of the id, unless this one has done so already and was not dropped since."""
        if self._producer is None:
            self._producer = await self._blocking(self._new)

    async def send(self, records: Sequence[Outgoing]) -> list[Ack]:
        """Begin a transaction and write records; where they lie, in their order."""
        acks: list[Ack] = await self._blocking(self._send, self._producer, records)
        return acks

    async def commit(self, records: Sequence[Outgoing]) -> list[Ack]:
        """Write the last records of a transaction, and commit it; where they lie."""
        acks: list[Ack] = await self._blocking(self._commit, self._producer, records)
        return acks

    def drop(self) -> None:
        """Let the next `begin` make a new one."""
        self._producer = None

    async def _blocking(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _told, call, *arguments)

    def _new(self) -> Producer:
        producer = Producer(self._config)
        producer.init_transactions(TRANSACTION_S)
        return producer

    def _send(self, producer: Producer, records: Sequence[Outgoing]) -> list[Ack]:
        producer.begin_transaction()
        if not records:
            return []
        written = _Written(producer, records)
        if producer.flush(TRANSACTION_S):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return written.acks()

    def _commit(self, producer: Producer, records: Sequence[Outgoing]) -> list[Ack]:
        written = _Written(producer, records)
        producer.commit_transaction(TRANSACTION_S)
        return written.acks()

    async def close(self) -> None:
        """Leave Kafka, once the call that is under way has returned."""
        self._producer = None
        await asyncio.to_thread(self._thread.shutdown)


class _Written:
    """Records that were handed to a producer, and what it tells of them."""

    def __init__(self, producer: Producer, records: Sequence[Outgoing]) -> None:
        self._acks = [Ack(0, -1)] * len(records)
        self._failed: list[KafkaError] = []
        for index, record in enumerate(records):
            producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                timestamp=record.timestamp_ms,
                headers=record.headers,
                on_delivery=self._note(index),
            )

    def _note(self, index: int) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self._acks[index] = Ack(message.partition() or 0, message.offset() or 0)
            else:
                self._failed.append(error)

        return note

    def acks(self) -> list[Ack]:
        """Where they lie; raises what tells most: being fenced makes all the other records fail as well."""
        if self._failed:
            raise KafkaException(next((e for e in self._failed if e.code() in FENCED), self._failed[0]))
        return self._acks


def _told(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call the client. Where it is fenced while it tells of deliveries, its exception comes disguised, or is lost."""
    try:
        return call(*arguments)
    except SystemError as error:
        cause = error.__cause__
        raise cause if isinstance(cause, KafkaException) else KafkaException(KafkaError(KafkaError._FENCED)) from None


def _log_error(error: KafkaError) -> None:
    if error.code() not in FENCED:
        log.warning("kafka_producer_error", client="transactions", code=error.name(), reason=error.str())
