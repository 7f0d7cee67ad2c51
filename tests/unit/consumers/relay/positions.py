"""What is kept of subscriptions, without Kafka: for what no timing of a real one would show for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError

from headrace.consumers.relay.definition import POSITIONS, Subscription
from headrace.consumers.relay.lineup import now_ms
from headrace.consumers.relay.state import Stored, stored
from headrace.consumers.relay.taking_over import honoured
from headrace.kafka.bridge import Ack, Outgoing, Undelivered

NOT_ACKNOWLEDGED = KafkaError(KafkaError._MSG_TIMED_OUT)


@dataclass
class Positions:
    """The bridge, and `headrace.positions` after compaction.

    Answers wait for `answers`; `waiting` counts those that do. What was sent is written, also where whoever sent it has
    gone. Records that `lost` says are not written, and not acknowledged; those that `unheard` says are written all the
    same.
    """

    kept: dict[bytes, bytes] = field(default_factory=dict)
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    lost: Callable[[Outgoing], bool] = lambda record: False
    unheard: Callable[[Outgoing], bool] = lambda record: False

    waiting: int = 0

    def __post_init__(self) -> None:
        self.answers.set()

    def send(self, records: Sequence[Outgoing]) -> asyncio.Future[list[Ack | KafkaError]]:
        return asyncio.ensure_future(self._write([(r, self.lost(r), self.unheard(r)) for r in records]))

    async def _write(self, records: list[tuple[Outgoing, bool, bool]]) -> list[Ack | KafkaError]:
        await asyncio.sleep(0)
        self.waiting += 1
        await self.answers.wait()
        self.waiting -= 1
        for record, lost, _ in records:
            if record.topic == POSITIONS.name and not lost:
                self._keep(record.key or b"", record.value)
        return [NOT_ACKNOWLEDGED if lost or unheard else Ack(0, 0) for _, lost, unheard in records]

    def _keep(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.kept.pop(key, None)
        else:
            self.kept[key] = value

    async def write(self, records: Sequence[Outgoing]) -> None:
        for answer in await asyncio.shield(self.send(records)):
            if isinstance(answer, KafkaError):
                raise Undelivered(answer)

    def taken_over(self, subscription: Subscription) -> Stored:
        """What a next owner goes on from."""
        found, changes = honoured(stored(list(self.kept.items())), subscription.state_key, now_ms())
        for key, value in changes:
            self._keep(key, value)
        return found
