"""Who owns which subscriptions: the relays are one consumer group on the topic that holds their state.

Whoever is assigned a partition of `headrace.positions` reads it to its end, and then owns the subscriptions in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace import metrics
from headrace.consumers.relay.definition import POSITIONS

log = structlog.get_logger(__name__)

GROUP = "headrace.relay"
HAND_OVER_S = 20.0

SESSION_S = 6.0
CONFIRM_S = 1.5
"""How often Kafka is asked whether this relay is still a member of the group."""
SURE_S = SESSION_S - 1.0
"""So long after it was asked and said yes, no other can have become one in this relay's place."""

END_S = 2.0
"""How long an answer about the end of a partition may take."""

Entries = dict[bytes, bytes]


class OwnershipEnded(Exception):
    """The member of the group has ended by itself."""


class Ownership:
    """A member of the group, in a thread of its own.

    `gained(partition, entries)` is called on the event loop once a partition's records are read; `lost(partition)`
    before it goes to another, which waits for it (cooperative rebalancing), unless the session had already expired.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        *,
        gained: Callable[[int, Entries], None],
        lost: Callable[[list[int]], Awaitable[None]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._gained = gained
        self._lost = lost
        self._loading: dict[int, Entries] = {}
        self._closing = threading.Event()
        self._asked: SimpleQueue[tuple[int, asyncio.Future[bool]]] = SimpleQueue()
        self._handing_over = threading.Event()
        self._sure_until_s = 0.0
        self.assigned = asyncio.Event()
        self.ended = asyncio.Event()
        self._consumer = Consumer(
            {
                **kafka,
                "client.id": "headrace-relay",
                "group.id": GROUP,
                # The classic protocol: with KIP-848 the session time-out is the broker's, 45 s by default.
                "group.protocol": "classic",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(SESSION_S * 1000),
                "heartbeat.interval.ms": 1500,
                "max.poll.interval.ms": 300_000,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                # So long it takes to see the end of an empty partition. Costs nothing: what has been read is paused.
                "fetch.wait.max.ms": 10,
                "error_cb": self._on_error,
            }
        )
        self._thread = threading.Thread(target=self._run, name="relay-ownership", daemon=True)
        self._thread.start()

    async def confirm(self, partition: int) -> bool:
        """Whether Kafka takes this relay for a partition's owner, at a time between the call and the answer.

        One that was frozen for longer than its session does not know that it has a successor, but Kafka does: it takes
        commits of the present generation of the group only. False while something is handed over, too.
        """
        answer: asyncio.Future[bool] = self._loop.create_future()
        self._asked.put((partition, answer))
        if self._handing_over.is_set():
            self._answer(lambda _: False)  # the thread waits for us
        return await answer

    def sure(self) -> bool:
        """Whether this relay certainly owns, at this moment, what was not handed over: without asking Kafka.

        A commit that Kafka takes begins the session of the member anew, as a heartbeat does (group coordinator,
        `OffsetMetadataManager.commitOffset`). So what was owned when a commit was sent goes to no other before the
        session's time-out has passed since then, unless it is handed over. The clock runs on while a process is
        frozen: one that wakes up is not sure.
        """
        return not self._handing_over.is_set() and _clock_s() < self._sure_until_s

    async def certain(self, partition: int) -> bool:
        """Whether this relay owns a partition, at a time between the call and the answer; asks Kafka where it must."""
        return self.sure() or await self.confirm(partition)

    def _answer(self, confirmed: Callable[[int], bool]) -> None:
        with contextlib.suppress(Empty):
            while True:
                partition, answer = self._asked.get_nowait()
                self._loop.call_soon_threadsafe(_settle, answer, confirmed(partition))

    def _confirmed(self, partition: int) -> bool:
        sent_s = _clock_s()
        try:
            # The offset says nothing: what a relay owns it reads from the beginning.
            self._consumer.commit(offsets=[TopicPartition(POSITIONS.name, partition, 0)], asynchronous=False)
        except KafkaException as error:
            log.warning("ownership_not_confirmed", partition=partition, reason=str(error))
            return False
        self._sure_until_s = sent_s + SURE_S
        return True

    def _reconfirm(self) -> None:
        """Ask again in time, so that calls find it certain."""
        if _clock_s() > self._sure_until_s - SURE_S + CONFIRM_S and (owned := self._consumer.assignment()):
            self._confirmed(owned[0].partition)

    def _run(self) -> None:
        self._consumer.subscribe(
            [POSITIONS.name], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        try:
            while not self._closing.is_set():
                for message in self._consumer.consume(5000, 0.05):
                    self._take(message)
                self._answer(self._confirmed)
                self._reconfirm()
        except Exception:
            log.exception("ownership_ended")
            metrics.errors.labels("relay").inc()
        finally:
            self._refuse()
            self._loop.call_soon_threadsafe(self.ended.set)
            self._consumer.close()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            partition.offset = OFFSET_BEGINNING
            self._loading[partition.partition] = {}
        consumer.incremental_assign(partitions)
        # librdkafka remembers that we paused one when it was ours before.
        consumer.resume(partitions)
        self._loop.call_soon_threadsafe(self.assigned.set)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [partition.partition for partition in partitions]
        for number in numbers:
            self._loading.pop(number, None)
        log.info("partitions_released", partitions=numbers)
        self._refuse()
        # The next owner is told only after this returns: by then our last position is in Kafka.
        done = asyncio.run_coroutine_threadsafe(_awaited(self._lost(numbers)), self._loop)
        try:
            done.result(HAND_OVER_S)
        except FutureTimeoutError:
            log.error("hand_over_timed_out", partitions=numbers)
            metrics.errors.labels("relay").inc()
        except Exception:
            log.exception("hand_over_failed", partitions=numbers)
            metrics.errors.labels("relay").inc()
        consumer.incremental_unassign(partitions)
        self._handing_over.clear()

    def _refuse(self) -> None:
        """Confirm nothing from here on: who waits for it would not let go of what is to be handed over."""
        self._handing_over.set()
        self._answer(lambda _: False)

    def _take(self, message: Message) -> None:
        partition = message.partition() or 0
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            log.error("positions_read_failed", partition=partition, code=error.name(), reason=error.str())
            metrics.errors.labels("relay").inc()
            return
        entries = self._loading.get(partition)
        if entries is None:
            return
        if error is None:
            key, value = message.key() or b"", message.value()
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value
        elif not self._is_end(partition, message.offset() or 0):
            # To hear of the end again.
            self._consumer.seek(TopicPartition(POSITIONS.name, partition, message.offset() or 0))
        else:
            del self._loading[partition]
            try:
                # From here on the partition holds what we write ourselves.
                self._consumer.pause([TopicPartition(POSITIONS.name, partition)])
            except KafkaException as gone:
                log.info("partition_gone_while_loading", partition=partition, reason=str(gone))
                return
            self._loop.call_soon_threadsafe(self._gained, partition, entries)

    def _is_end(self, partition: int, offset: int) -> bool:
        """Whether all that was acknowledged lies below an offset.

        A leader that has just been elected may show readers less than that; asked for the end, it says that it does
        not know yet (KIP-207).
        """
        try:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(POSITIONS.name, partition), END_S)
        except KafkaException as error:
            log.info("end_of_positions_not_known", partition=partition, reason=str(error))
            return False
        return offset >= end

    def _on_error(self, error: KafkaError) -> None:
        log.warning("kafka_consumer_error", client="relay", code=error.name(), reason=error.str())

    async def close(self) -> None:
        """Leave the group, handing over what is owned."""
        self._closing.set()
        await asyncio.to_thread(self._thread.join)


def _clock_s() -> float:
    """Seconds of a clock that also runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def _settle(answer: asyncio.Future[bool], confirmed: bool) -> None:
    if not answer.done():
        answer.set_result(confirmed)


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable
