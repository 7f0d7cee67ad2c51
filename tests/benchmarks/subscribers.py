"""Subscriptions written to Kafka as the API writes them: to make thousands one by one over HTTP takes long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from confluent_kafka import Producer

from benchmarks.processes import SECRET_KEYS
from headrace.consumers.relay.definition import SUBSCRIPTIONS, TOPICS, Subscription
from headrace.consumers.relay.options import Options
from headrace.consumers.relay.secrets import seal_keys
from headrace.consumers.relay.signing_key import new_signing_key
from headrace.consumers.relay.vault import Vault
from headrace.kafka.admin import admin_client
from headrace.kafka.topics import ensure_topics
from headrace.schemas.event import now
from headrace.secret_keys import secret_keys
from headrace.settings import SecretsSettings


def subscribe(bootstrap_servers: str, feed: str, wanted: Mapping[str, tuple[str | None, Options]]) -> None:
    """Define subscriptions of a feed, from its beginning: by their id a URL, None of those pulled, and options."""
    kafka = {"bootstrap.servers": bootstrap_servers}
    asyncio.run(_make_topics(kafka))
    vault = Vault(secret_keys(SecretsSettings(secret_keys=SECRET_KEYS)))
    producer = Producer({**kafka, "enable.idempotence": True, "queue.buffering.max.messages": 0})
    moment = now()
    for name, (url, options) in wanted.items():
        subscription = Subscription(
            id=name,
            feed=feed,
            mode="pull" if url is None else "webhook",
            url=url,
            sealed_keys="" if url is None else seal_keys(vault, name, [new_signing_key("hmac", time.time())]),
            start="-1",
            created=moment,
            updated=moment,
            options=options,
        )
        producer.produce(SUBSCRIPTIONS.name, subscription.to_bytes(), name, 0)
    assert producer.flush(60) == 0


async def _make_topics(kafka: Mapping[str, str]) -> None:
    await ensure_topics(admin_client(kafka), TOPICS, replication_factor=1)


def host(number: int) -> str:
    """One of 60,000 addresses of the loopback interface."""
    return f"127.1.{number // 250}.{number % 250 + 1}"
