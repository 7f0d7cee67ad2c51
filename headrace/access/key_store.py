"""Making and revoking keys: written to Kafka directly, so that the first one needs no service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headrace.access.api_key import KEYS, ApiKey
from headrace.kafka.admin import CRITICAL, admin_client
from headrace.kafka.offsets import KafkaUnavailable
from headrace.kafka.table import Table
from headrace.kafka.topics import ensure_topics

WRITE_S = 10.0


class KeyStore:
    """The keys in Kafka. An async context manager; entering raises `KafkaUnavailable`, `KafkaException`."""

    def __init__(self, kafka: Mapping[str, Any], replication_factor: int = -1) -> None:
        self._kafka = kafka
        self._replication_factor = replication_factor
        self._admin = admin_client(kafka)

    async def __aenter__(self) -> KeyStore:
        try:
            await ensure_topics(self._admin, [KEYS], replication_factor=self._replication_factor, timeout_s=WRITE_S)
        except TimeoutError:
            raise KafkaUnavailable(f"no answer within {WRITE_S:.0f} s") from None
        self._table = Table(self._kafka, self._admin, KEYS.name, ApiKey.from_bytes)
        await self._table.load()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._table.close()

    def all(self) -> list[ApiKey]:
        """All keys, oldest first."""
        return sorted(self._table.values(), key=lambda key: key.created_s)

    async def add(self, key: ApiKey) -> None:
        """Write a key; it holds from now on. Raises `KafkaUnavailable`."""
        await asyncio.to_thread(self._write, key.id, key.to_bytes())

    async def revoke(self, name: str) -> ApiKey | None:
        """Take a key away by its id or its name; None where there is none, or several have the name."""
        found = [key for key in self._table.values() if name in (key.id, key.name)]
        if len(found) != 1:
            return None
        await asyncio.to_thread(self._write, found[0].id, None)
        return found[0]

    def _write(self, key_id: str, value: bytes | None) -> None:
        failed: list[KafkaError] = []

        def written(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failed.append(error)

        config = {"enable.idempotence": True, "linger.ms": 0, "delivery.timeout.ms": int(WRITE_S * 1000)}
        # What it can't do is raised; that a new Kafka has no ids to give yet is nothing to tell who makes a key.
        producer = Producer({**self._kafka, **config, "client.id": "headrace-keys", "log_level": CRITICAL})
        try:
            # Else it looks for a broker only when it asks for its id, finds none, and waits for half a second.
            producer.list_topics(KEYS.name, WRITE_S)
            producer.produce(KEYS.name, value, key_id.encode(), 0, on_delivery=written)
        except KafkaException as error:
            raise KafkaUnavailable(error.args[0].str()) from None
        if producer.flush(WRITE_S + 1) or failed:
            raise KafkaUnavailable(f"the write was not acknowledged: {failed[0].str() if failed else 'no answer'}")
