"""The definitions of all subscriptions: followed by whoever needs them, and changed by one at a time.

A change is read, checked and written under one Kafka transaction: whoever begins one fences every other process that
was about to change something, so that two never take the same name, and none undoes what another has just written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from random import random
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from headrace.consumers.relay.definition import SUBSCRIPTIONS, Subscription
from headrace.kafka.offsets import KafkaUnavailable
from headrace.kafka.table import Table

log = structlog.get_logger(__name__)

TRANSACTIONAL_ID = "headrace.subscriptions"
TRANSACTION_S = 10.0
TRIES = 20
"""How often a change is begun anew because another process changed something meanwhile."""

STEP_S = 0.05
"""By how much the random wait before that grows each time."""

_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
_AGAIN = _FENCED | {KafkaError.UNKNOWN}
"""A broker that another producer has told the same in that moment may answer UNKNOWN, too."""

Change = Callable[[Subscription | None], Subscription | None]


class Definitions(Mapping[str, Subscription]):
    """Subscriptions by their id. `on_change` is told of every change, its own ones too, on the event loop."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        admin: AdminClient,
        on_change: Callable[[str, Subscription | None], None] | None = None,
    ) -> None:
        self._kafka = kafka
        self._table = Table(kafka, admin, SUBSCRIPTIONS.name, Subscription.from_bytes, on_change)
        self._changing = asyncio.Lock()
        self._producer: Producer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="definitions")

    async def load(self) -> None:
        """Read all; raises `UnknownTopic` or `KafkaUnavailable`."""
        await self._table.load()

    async def catch_up(self) -> None:
        """Wait for all that was written before this call; raises `KafkaUnavailable`."""
        await self._table.catch_up()

    async def change(self, name: str, change: Change) -> Subscription | None:
        """Put what `change` makes of a subscription (None: there is none) in its place, and return it.

        `change` raises where it does not want to: then nothing is written. It may be called more than once. Raises
        `KafkaUnavailable` where it is not known whether the change was written.
        """
        # Once begun it is carried out: one whose caller has gone must not write after the next has looked.
        return await asyncio.shield(asyncio.ensure_future(self._try(name, change)))

    async def _try(self, name: str, change: Change) -> Subscription | None:
        async with self._changing:
            unanswered: list[Subscription | None] = []
            for number in range(TRIES):
                try:
                    return await self._change(name, change, unanswered)
                except KafkaException as error:
                    self._producer = None  # what it began is undone by whoever begins next
                    if error.args[0].code() not in _AGAIN:
                        raise KafkaUnavailable(f"the change was not acknowledged: {error.args[0].str()}") from error
                except KafkaUnavailable:
                    self._producer = None  # what it wrote may be seen later: a new one waits for that
                    raise
                # Two that began anew in step would fence each other every time.
                await asyncio.sleep(random() * STEP_S * number)  # noqa: S311 - no secret
            raise KafkaUnavailable("others change subscriptions all the time")

    async def _change(self, name: str, change: Change, unanswered: list[Subscription | None]) -> Subscription | None:
        if self._producer is None:
            self._producer = await self._blocking(self._begin)
        # Whatever another process writes from here on, it fences this producer first, and the commit fails.
        await self._table.catch_up()
        present = self._table.get(name)
        if present in unanswered:
            return present  # it was written, though the answer said otherwise or was lost
        changed = change(present)
        if changed is present:
            return present
        unanswered.append(changed)
        value = None if changed is None else changed.to_bytes()
        offset = await self._blocking(self._commit, self._producer, name, value)
        # Kafka answers before readers see it: until then the next change, here or elsewhere, would be of what was.
        await self._table.reach(0, offset + 1)
        return changed

    async def _blocking(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _begin(self) -> Producer:
        producer = Producer(
            {
                **self._kafka,
                "client.id": "headrace-definitions",
                "transactional.id": TRANSACTIONAL_ID,
                "transaction.timeout.ms": int(TRANSACTION_S * 1000),
                "linger.ms": 0,
                "error_cb": _log_error,
            }
        )
        producer.init_transactions(TRANSACTION_S)
        return producer

    def _commit(self, producer: Producer, name: str, value: bytes | None) -> int:
        """Write a value; gives its offset."""
        offsets: list[int] = []

        def written(error: KafkaError | None, message: Message) -> None:
            if error is None:
                offsets.append(message.offset() or 0)

        producer.begin_transaction()
        producer.produce(SUBSCRIPTIONS.name, value, name.encode(), 0, on_delivery=written)
        producer.commit_transaction(TRANSACTION_S)
        return offsets[0]

    def __getitem__(self, name: str) -> Subscription:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    async def close(self) -> None:
        """Stop following."""
        await self._table.close()
        self._producer = None
        await asyncio.to_thread(self._thread.shutdown)


def _log_error(error: KafkaError) -> None:
    if error.code() not in _FENCED:
        log.warning("kafka_producer_error", client="definitions", code=error.name(), reason=error.str())
