"""The definitions of all subscriptions.

A change is read, checked and written under one Kafka transaction, so that two never take the same name, and none undoes
what another has just written (`headrace/kafka/fenced_writer.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka.admin import AdminClient

from headrace.consumers.relay.definition import SUBSCRIPTIONS, Subscription
from headrace.kafka import definitions

Change = Callable[[Subscription | None], Subscription | None]


class Definitions(definitions.Definitions[Subscription]):
    """Subscriptions by their id. `on_change` is told of every change, its own ones too, on the event loop."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        admin: AdminClient,
        on_change: Callable[[str, Subscription | None], None] | None = None,
    ) -> None:
        super().__init__(
            kafka,
            admin,
            SUBSCRIPTIONS,
            from_bytes=Subscription.from_bytes,
            to_bytes=Subscription.to_bytes,
            on_change=on_change,
        )
