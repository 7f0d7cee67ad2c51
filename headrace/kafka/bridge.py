"""The producer bridge: from asyncio to librdkafka's producer, one future per request.

One thread polls the delivery reports and wakes the event loop once per poll, however many arrived: waking it once
per event costs three quarters of the throughput.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import orjson
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headrace import metrics

log = structlog.get_logger(__name__)

Headers = list[tuple[str, str | bytes | None]]


@dataclass(slots=True)  # to freeze it would make its making four times as dear, and it is made for every event
class Outgoing:
    """A record to be written. `partition` -1 lets the key decide (murmur2, as in Java); `timestamp_ms` 0 is now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    timestamp_ms: int = 0
    partition: int = -1

    @property
    def size_bytes(self) -> int:
        """Bytes of key and value, with an allowance for headers and framing."""
        return len(self.key or b"") + len(self.value or b"") + 200


class Ack(NamedTuple):
    """Where an acknowledged record lies."""

    partition: int
    offset: int


class QueueFull(Exception):
    """Too many bytes wait for Kafka: nothing of the request was queued; try again later."""


class Undelivered(Exception):
    """Kafka did not acknowledge a record. It may still have been written: retry with the same event id."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(error.str())
        self.error = error


@dataclass(slots=True, eq=False)
class _Request:
    future: asyncio.Future[list[Ack | KafkaError]]
    results: list[Ack | KafkaError | None]
    left: int
    size_bytes: int
    started_s: float


class ProducerBridge:
    """An idempotent producer with `acks=all`, for one event loop.

    `queue_bytes` bounds what waits for acknowledgement; a request beyond it is refused whole with `QueueFull`.
    `delivery_timeout_s` bounds the wait for an acknowledgement; 0 waits for ever. After a fatal error (an idempotent
    producer can be fenced by the broker) the next request gets a new producer. With `gapless`, a record that fails is
    such an error: none that was sent after it is written.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        *,
        name: str,
        queue_bytes: int = 64 * 2**20,
        delivery_timeout_s: float = 10.0,
        linger_ms: float = 2,
        gapless: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue_bytes = queue_bytes
        self._waiting_bytes = 0
        self._name = name
        self._queue_gauge = metrics.queue_bytes.labels(name)
        self._config = {
            **kafka,
            "logger": logging.getLogger("librdkafka"),
            "client.id": f"headrace-{name}",
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": linger_ms,
            "batch.size": 1_000_000,
            "partitioner": "murmur2_random",
            "delivery.timeout.ms": int(delivery_timeout_s * 1000),
            # Our own bound is the one that refuses; librdkafka's must never be met first.
            "queue.buffering.max.kbytes": 2 * queue_bytes // 1024 + 1024,
            "queue.buffering.max.messages": 0,
            "statistics.interval.ms": 5000,
            **({"enable.gapless.guarantee": True} if gapless else {}),
        }
        self._session = _Session(self._config, self._loop, self._settle, name)

    @property
    def waiting_bytes(self) -> int:
        """Bytes handed over and not yet acknowledged."""
        return self._waiting_bytes

    def trouble(self) -> str | None:
        """Why writing would not work now: no broker has answered lately."""
        return self._session.trouble

    def send(self, records: Sequence[Outgoing]) -> asyncio.Future[list[Ack | KafkaError]]:
        """Queue the records and return a future of one result for each, in their order.

        Never blocks. Records of one partition keep their order. Raises `QueueFull` with nothing queued.
        """
        size_bytes = sum(record.size_bytes for record in records)
        if self._waiting_bytes and self._waiting_bytes + size_bytes > self._queue_bytes:
            raise QueueFull(f"{self._waiting_bytes} bytes wait for Kafka")
        if self._session.fatal:
            log.error("producer_replaced", client=self._name, reason=str(self._session.fatal))
            self._session.retire()
            self._session = _Session(self._config, self._loop, self._settle, self._name)
        request = _Request(
            self._loop.create_future(), [None] * len(records), len(records), size_bytes, time.monotonic()
        )
        if not records:
            request.future.set_result([])
            return request.future
        self._waiting_bytes += size_bytes
        self._queue_gauge.set(self._waiting_bytes)
        self._session.produce(records, request)
        return request.future

    async def write(self, records: Sequence[Outgoing]) -> list[Ack]:
        """Write the records and wait for all acknowledgements; raises `Undelivered` for the first that fails."""
        acks: list[Ack] = []
        for result in await self.send(records):
            if isinstance(result, KafkaError):
                raise Undelivered(result)
            acks.append(result)
        return acks

    def _settle(self, requests: list[_Request]) -> None:
        now = time.monotonic()
        for request in requests:
            self._waiting_bytes -= request.size_bytes
            metrics.ack_seconds.observe(now - request.started_s)
            if not request.future.done():
                request.future.set_result([r for r in request.results if r is not None])
        self._queue_gauge.set(self._waiting_bytes)

    async def close(self, timeout_s: float = 10.0) -> int:
        """Wait until all that was sent has its verdict, and stop. Returns the number of records left without one."""
        return await self._loop.run_in_executor(None, self._session.close, timeout_s)


class _Session:
    """One librdkafka producer and the thread that polls it."""

    def __init__(
        self,
        config: Mapping[str, Any],
        loop: asyncio.AbstractEventLoop,
        settle: Callable[[list[_Request]], None],
        name: str,
    ) -> None:
        self.fatal: KafkaError | None = None
        self.trouble: str | None = None
        self._loop = loop
        self._settle = settle
        self._name = name
        self._done: list[_Request] = []
        self._refused: deque[tuple[_Request, int, KafkaError]] = deque()
        self._closing = threading.Event()
        self._producer = Producer({**config, "error_cb": self._on_error, "stats_cb": self._on_stats})
        self._thread = threading.Thread(target=self._poll, name=f"{name}-producer", daemon=True)
        self._thread.start()

    def produce(self, records: Sequence[Outgoing], request: _Request) -> None:
        produce = self._producer.produce
        for index, record in enumerate(records):
            try:
                produce(
                    record.topic,
                    record.value,
                    record.key,
                    record.partition,
                    partial(self._delivered, request, index),
                    timestamp=record.timestamp_ms,
                    headers=record.headers,
                )
            except (BufferError, KafkaException, OverflowError, TypeError, ValueError) as error:
                # The poll thread alone settles records, so that a request has one writer.
                self._refused.append((request, index, _refusal(error)))

    def _delivered(self, request: _Request, index: int, error: KafkaError | None, message: Message) -> None:
        if error is not None and error.fatal():
            self.fatal = error
        self._record(request, index, error or Ack(message.partition() or 0, message.offset() or 0))

    def _record(self, request: _Request, index: int, result: Ack | KafkaError) -> None:
        request.results[index] = result
        request.left -= 1
        if request.left == 0:
            self._done.append(request)

    def _poll(self) -> None:
        poll = self._producer.poll
        while not (self._closing.is_set() and len(self._producer) == 0):
            try:
                poll(0.1)
            except KafkaException as error:
                # confluent-kafka raises a fatal error here instead of giving it to error_cb.
                self.fatal = error.args[0]
            self._wake()
        self._wake()

    def _wake(self) -> None:
        while self._refused:
            self._record(*self._refused.popleft())
        if self._done:
            done, self._done = self._done, []
            self._loop.call_soon_threadsafe(self._settle, done)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.trouble = "no Kafka broker can be reached"
        log.warning("kafka_producer_error", client=self._name, code=error.name(), reason=error.str())

    def _on_stats(self, text: str) -> None:
        stats = orjson.loads(text)
        metrics.rdkafka_queue_messages.labels(self._name).set(stats["msg_cnt"])
        brokers = [b for b in stats["brokers"].values() if b["nodeid"] >= 0]
        up = sum(b["state"] == "UP" for b in brokers)
        self.trouble = None if up else "no Kafka broker can be reached"
        metrics.rdkafka_brokers_up.labels(self._name).set(up)
        for broker in brokers:
            labels = (self._name, str(broker["nodeid"]))
            metrics.rdkafka_broker_rtt_seconds.labels(*labels).set(broker["rtt"]["p99"] / 1e6)
            metrics.rdkafka_broker_retries.labels(*labels).set(broker["txretries"])

    def retire(self) -> None:
        """Let the thread end by itself once every record has its verdict."""
        self._closing.set()

    def close(self, timeout_s: float) -> int:
        # Not flush(), which would take delivery reports in this thread.
        self._closing.set()
        self._thread.join(timeout_s)
        return len(self._producer)


def _refusal(error: Exception) -> KafkaError:
    """The verdict on a record that librdkafka did not take."""
    if isinstance(error, KafkaException):
        refusal: KafkaError = error.args[0]
        return refusal
    return KafkaError(KafkaError._QUEUE_FULL if isinstance(error, BufferError) else KafkaError._INVALID_ARG, str(error))
