"""One partition of a compacted topic that many processes change: by one at a time, each change in a Kafka transaction.

Whoever begins to write under the partition's transactional id fences every other process that was about to. What a
process has read before it commits therefore still holds when it commits, or the commit fails.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from random import random
from typing import Any, Generic, TypeVar

from confluent_kafka import KafkaError, KafkaException

from headrace.kafka.bridge import Outgoing
from headrace.kafka.offsets import KafkaUnavailable
from headrace.kafka.table import MARK, Table
from headrace.kafka.transaction import Transaction
from headrace.kafka.transactional_producer import FENCED, TransactionalProducer

V = TypeVar("V")
T = TypeVar("T")

TRIES = 20
"""How often a change is begun anew because another process changed something meanwhile."""
STEP_S = 0.05
"""By how much the random wait before that grows each time."""
TOGETHER = 100
"""Changes that are made in one transaction, where so many wait."""

_AGAIN = FENCED | {KafkaError.UNKNOWN}
"""A broker that another producer has told the same in that moment may answer UNKNOWN, too."""

_OF_ITSELF = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.INVALID_RECORD,
}
"""What is wrong with a record, and not with Kafka or the way there."""

Change = Callable[[Transaction[V]], T]


class _NotTaken(KafkaUnavailable):
    """Kafka does not take a record; so nothing of its transaction was written."""


class _Waiting(Generic[V]):
    """A change, what it has made in the transaction under way, and who waits for that."""

    def __init__(self, change: Change[V, Any]) -> None:
        self.change = change
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Nobody may be there any more to take the exception.
        self.future.add_done_callback(lambda done: done.exception())
        self._result: Any = None
        self._refusal: Exception | None = None

    def make(self, transaction: Transaction[V]) -> bool:
        """Make the change; whether it wants to be made."""
        self._result = self._refusal = None
        try:
            self._result = self.change(transaction)
        except Exception as error:  # it belongs to whoever waits, and is told once what it was decided by is written
            self._refusal = error
        return self._refusal is None

    def fail(self, error: BaseException) -> None:
        self.future.set_exception(error)

    def succeed(self) -> None:
        if self._refusal is not None:
            self.future.set_exception(self._refusal)
        else:
            self.future.set_result(self._result)


class FencedWriter(Generic[V]):
    """Makes changes one after the other, those that wait together in one transaction."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        table: Table[V],
        partition: int,
        transactional_id: str,
        to_bytes: Callable[[V], bytes],
    ) -> None:
        self._table = table
        self._partition = partition
        self._to_bytes = to_bytes
        self._producer = TransactionalProducer(kafka, transactional_id)
        self._waiting: list[_Waiting[V]] = []
        self._working: asyncio.Task[None] | None = None

    async def run(self, change: Change[V, T]) -> T:
        """Make a change, and return what `change` returns, once readers see what it wrote.

        `change` raises where it does not want to: then nothing of it is written. It may be called again, where what it
        put before was not written. Raises `KafkaUnavailable` where it is not known whether the change was made.
        """
        waiting = _Waiting(change)
        self._waiting.append(waiting)
        if self._working is None or self._working.done():
            self._working = asyncio.ensure_future(self._work())
        # Once begun it is carried out: one whose caller has gone must not write after the next has looked.
        result: T = await asyncio.shield(waiting.future)
        return result

    async def _work(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            await self._make(together)

    async def _make(self, together: list[_Waiting[V]]) -> None:
        try:
            await self._try(together)
        except Exception as error:
            if isinstance(error, _NotTaken) and len(together) > 1:
                # The others shall not fail with it.
                for waiting in together:
                    await self._make([waiting])
                return
            for waiting in together:
                waiting.fail(error)
        else:
            for waiting in together:
                waiting.succeed()

    async def _try(self, together: list[_Waiting[V]]) -> None:
        mark = secrets.token_bytes(8)
        with self._table.expecting(mark):
            for number in range(TRIES):
                try:
                    await self._producer.begin()
                    # Whatever another process writes from here on, it fences this producer first, and the commit fails.
                    await self._table.catch_up(self._partition)
                    if not self._table.came(mark):  # else it was written the last time, though no answer said so
                        await self._transact(together, mark)
                    return
                except KafkaException as error:
                    self._producer.drop()
                    code = error.args[0].code()
                    if code in _OF_ITSELF:
                        raise _NotTaken(f"a record was not taken: {error.args[0].str()}") from error
                    if code not in _AGAIN:
                        raise KafkaUnavailable(f"the change was not acknowledged: {error.args[0].str()}") from error
                except Exception:
                    self._producer.drop()  # what it wrote may be seen later: a new one waits for that
                    raise
                # Two that began anew in step would fence each other every time.
                await asyncio.sleep(random() * STEP_S * number)  # noqa: S311 - no secret
        raise KafkaUnavailable(f"others change {self._table.topic} all the time")

    async def _transact(self, together: list[_Waiting[V]], mark: bytes) -> None:
        values: dict[str, V | None] = {}
        writing: list[Transaction[V]] = []
        for waiting in together:
            transaction = Transaction(self._table, values)
            if waiting.make(transaction):
                values |= transaction.values
                if transaction.acknowledged is not None:
                    writing.append(transaction)
        if not values and not writing:
            return
        acks = await self._producer.send([record for transaction in writing for record in transaction.records])
        final = Transaction(self._table, values)
        for transaction in writing:
            own, acks = acks[: len(transaction.records)], acks[len(transaction.records) :]
            if transaction.acknowledged is not None:
                transaction.acknowledged(final, own)
        values |= final.values
        written = await self._producer.commit([self._record(key, value, mark) for key, value in values.items()])
        # Kafka answers before readers see it: until then the next change, here or elsewhere, would be of what was.
        if written:
            await self._table.reach(self._partition, written[-1].offset + 1)

    def _record(self, key: str, value: V | None, mark: bytes) -> Outgoing:
        encoded = None if value is None else self._to_bytes(value)
        return Outgoing(self._table.topic, key.encode(), encoded, [(MARK, mark)], partition=self._partition)

    async def close(self) -> None:
        """Finish what was begun, and leave Kafka."""
        if self._working is not None:
            await asyncio.wait([self._working])
        await self._producer.close()
