"""Faust's Kafka transport, with a consumer that reads some topics in batches."""

from __future__ import annotations

from typing import Any

from faust.transport.drivers.aiokafka import Transport

from headrace.streams.transport.batch_consumer import BatchConsumer
from headrace.streams.transport.versions import check_versions


class BatchTransport(Transport):
    """`batch_topics` are those that are read in batches; all others, changelogs among them, record by record."""

    Consumer = BatchConsumer

    def __init__(self, *args: Any, **options: Any) -> None:
        check_versions()
        super().__init__(*args, **options)
        self.batch_topics: set[str] = set()
