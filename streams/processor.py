"""What a stream processor is: batches of a feed in, records for other topics out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from headrace.kafka.bridge import Outgoing
from headrace.streams.transport.batch import Batch


class Processor(Protocol):
    """Processes one feed. Everything it keeps must be rebuilt from Kafka after a crash."""

    feed: str

    async def start(self) -> None:
        """Load what it needs; called once, on the event loop, before the first batch."""

    async def process(self, batch: Batch) -> Sequence[Outgoing]:
        """What a batch becomes; written, in order, before the batch counts as done.

        Batches of a partition come in order, one at a time; after a crash or a rebalance some come again. A record
        that cannot be processed becomes a dead letter; whatever is raised stops the worker, and the batch comes again.
        """

    async def close(self) -> None:
        """Give back what it holds."""
