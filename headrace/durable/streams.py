"""The streams of a process: read from the table, and changed under a fenced transaction.

What an append writes to the stream's topic and what is kept of its producer, its end and its closure are written by one
Kafka transaction: all of it or nothing, whichever process dies when, and however many there are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from confluent_kafka import KafkaException

from headrace.durable.append import Append, Appended, check
from headrace.durable.outcome import Outcome
from headrace.durable.removal import Removal, UnknownStream
from headrace.durable.stream import Producer, Stream, Value, partition_of, producer_key
from headrace.durable.sweep import Sweep
from headrace.durable.table import StreamTable, now_ms
from headrace.http.still import Still
from headrace.kafka.admin import admin_client
from headrace.kafka.bridge import QueueFull
from headrace.kafka.offsets import RETRIABLE, KafkaUnavailable, Offsets
from headrace.kafka.topics import TopicSpec, create_topic
from headrace.kafka.transaction import Transaction
from headrace.settings import Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")

VISIBLE_S = 10.0


class Streams(Still):
    """A part of a service, to be started before those that use it. `queue_bytes` bounds what waits to be written.

    What was begun is carried out, whatever becomes of its caller, and takes up room until it is written or has failed.
    """

    def __init__(self, settings: Settings, queue_bytes: int = 64 * 2**20) -> None:
        self._settings = settings
        self._queue_bytes = queue_bytes
        self._waiting_bytes = 0
        self._under_way: set[asyncio.Task[Any]] = set()
        self._touching: dict[str, asyncio.Task[None]] = {}
        self._table: StreamTable | None = None
        self._sweep: Sweep | None = None

    @property
    def table(self) -> StreamTable:
        """What there is; there from `start()` on."""
        assert self._table is not None
        return self._table

    async def start(self) -> None:
        """Read all streams, and follow them."""
        self._admin = admin_client(self._settings.kafka())
        self._offsets = Offsets(self._admin)
        self._table = StreamTable(self._settings, self._admin)
        await self._table.load()
        self._removal = Removal(self._table, self._admin)
        self._sweep = Sweep(self._table, self._removal)

    def trouble(self) -> str | None:
        """Why streams could not be used now."""
        return None if self._sweep is not None else "the streams have not been read yet"

    async def close(self) -> None:
        """Finish what was begun, and leave Kafka."""
        await asyncio.gather(*self._under_way, *self._touching.values(), return_exceptions=True)
        if self._sweep is not None:
            await self._sweep.close()
        if self._table is not None:
            await self._table.close()

    async def create(self, wanted: Stream, messages: list[bytes]) -> tuple[Stream, bool]:
        """The stream of this name, and whether it was made now, with its first messages.

        `wanted` has no topic yet. Raises `KafkaUnavailable`, `KafkaException`, `QueueFull`.
        """
        if (found := await self.table.find(wanted.name)) is not None:
            return found, False
        return await self._carried_out(self._create(wanted, messages))

    async def _create(self, wanted: Stream, messages: list[bytes]) -> tuple[Stream, bool]:
        wanted = replace(wanted, topic=f"{wanted.name}.{wanted.id}")
        outcome = Outcome(messages)
        with self._room(messages):
            try:
                made = await self._make(await self._with_topic(wanted), outcome)
            except KafkaUnavailable:
                self._removal.doubt(wanted)
                raise
        if made.id != wanted.id:
            return made, False
        made = outcome.written(Appended(made, False, None)).stream
        await self._visible(made)
        return made, True

    async def _with_topic(self, wanted: Stream) -> Stream:
        """Make its topic; raises `KafkaException` where that was refused, `KafkaUnavailable` where it may be there."""
        spec = TopicSpec(wanted.topic, len(wanted.end), {"retention.ms": "-1"})
        factor = self._settings.replication_factor
        try:
            topic = await create_topic(self._admin, spec, replication_factor=factor, timeout_s=VISIBLE_S)
        except TimeoutError:
            raise KafkaUnavailable(f"the topic {spec.name} was not made in time") from None
        except KafkaException as error:
            if error.args[0].code() not in RETRIABLE:
                raise
            raise KafkaUnavailable(f"the topic {spec.name} was not made: {error.args[0].str()}") from error
        return replace(wanted, topic_id=topic.topic_id)

    async def _make(self, new: Stream, outcome: Outcome) -> Stream:
        """The stream of this name: `new`, or one that was there before."""

        def make(transaction: Transaction[Value]) -> Stream:
            present = transaction.get(new.name)
            if isinstance(present, Stream):
                if not present.has_expired(now_ms()):
                    self._removal.retire(transaction, new)
                    return present
                self._removal.retire(transaction, present)
            transaction.put(new.name, new)
            outcome.write(transaction, Appended(new, False, None))
            return new

        return await self.table.definitions.transact(partition_of(new.name), make)

    async def append(self, name: str, append: Append) -> Appended:
        """Append to a stream, close it, or both; answered once all readers see it.

        Raises `UnknownStream`, `Refused`, `KafkaUnavailable`, `QueueFull`.
        """
        return await self._carried_out(self._append(name, append))

    async def _append(self, name: str, append: Append) -> Appended:
        said = append.producer
        outcome = Outcome(append.messages, None if said is None else said.id)

        def change(transaction: Transaction[Value]) -> Appended:
            stream = _living(transaction, name)
            known = None if said is None else transaction.get(producer_key(stream, said.id))
            known = known if isinstance(known, Producer) else None
            if not check(stream, known, append):
                return Appended(stream, True, known)
            changed = replace(
                stream,
                touched_ms=now_ms(),
                closed=stream.closed or append.close,
                seq=stream.seq if append.seq is None else append.seq,
            )
            transaction.put(name, changed)
            producer = None
            if said is not None:
                producer = Producer(said.epoch, said.seq)
                transaction.put(producer_key(stream, said.id), producer)
            appended = Appended(changed, False, producer)
            outcome.write(transaction, appended)
            return appended

        with self._room(append.messages):
            appended = await self.table.definitions.transact(partition_of(name), change)
        if not appended.is_duplicate:
            appended = outcome.written(appended)
        await self._visible(appended.stream)
        return appended

    async def delete(self, name: str) -> None:
        """Delete a stream; raises `UnknownStream`, `KafkaUnavailable`."""
        await self._removal.remove(name, expired=False)

    def touch(self, name: str) -> None:
        """Note that a stream was read: where it has a time to live, that begins anew."""
        stream = self.table.get(name)
        if stream is None or name in self._touching or not stream.needs_touch(now_ms()):
            return
        task = asyncio.ensure_future(self._touch(name))
        self._touching[name] = task
        task.add_done_callback(lambda _: self._touching.pop(name))

    async def _touch(self, name: str) -> None:
        def change(transaction: Transaction[Value]) -> None:
            transaction.put(name, replace(_living(transaction, name), touched_ms=now_ms()))

        try:
            await self.table.definitions.transact(partition_of(name), change)
        except UnknownStream:
            return
        except KafkaUnavailable as error:
            log.warning("stream_not_touched", stream=name, reason=str(error))

    async def _visible(self, stream: Stream) -> None:
        """Wait until readers see all up to the stream's end: Kafka marks records as committed after it has answered."""
        now = asyncio.get_running_loop().time
        deadline = now() + VISIBLE_S
        while True:
            ends = await self._offsets.ends(stream.topic, len(stream.end))
            if all(at >= end for at, end in zip(ends, stream.end, strict=True)):
                return
            if now() > deadline:
                raise KafkaUnavailable(f"what was written to {stream.name} cannot be read yet")
            await asyncio.sleep(0.002)

    async def _carried_out(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be there any more to take it

    @contextlib.contextmanager
    def _room(self, messages: list[bytes]) -> Iterator[None]:
        size_bytes = sum(map(len, messages))
        if self._waiting_bytes and self._waiting_bytes + size_bytes > self._queue_bytes:
            raise QueueFull(f"{self._waiting_bytes} bytes wait for Kafka")
        self._waiting_bytes += size_bytes
        try:
            yield
        finally:
            self._waiting_bytes -= size_bytes


def _living(transaction: Transaction[Value], name: str) -> Stream:
    found = transaction.get(name)
    if not isinstance(found, Stream) or found.has_expired(now_ms()):
        raise UnknownStream(name)
    return found
