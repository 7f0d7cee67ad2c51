"""Stream processors for tests: what `HEADRACE_APP` may name."""

from __future__ import annotations

import os
from collections.abc import Sequence

from headrace.kafka.bridge import Outgoing
from headrace.settings import WorkerSettings
from headrace.streams.app import StreamApp
from headrace.streams.transport.batch import Batch


class Copy:
    """Copies the one feed of a test that ends in `.in` to the one that ends in `.out`.

    The value `poison` raises; the value `huge` becomes a record that Kafka refuses.
    """

    def __init__(self, app: StreamApp) -> None:
        self.feed = next(name for name in app.catalogue if name.endswith(".in"))
        self._topic = app.catalogue[self.feed.removesuffix(".in") + ".out"].feed.topic

    async def start(self) -> None:
        """Nothing is needed."""

    async def process(self, batch: Batch) -> Sequence[Outgoing]:
        """The same records."""
        if any(record.value == b'"poison"' for record in batch.records):
            raise RuntimeError("poison")
        return [
            Outgoing(self._topic, record.key, os.urandom(5000) if record.value == b'"huge"' else record.value)
            for record in batch.records
        ]

    async def close(self) -> None:
        """Nothing is held."""


def copy(app: StreamApp, settings: WorkerSettings) -> None:
    """Add the copy to a worker."""
    app.add(Copy(app))
