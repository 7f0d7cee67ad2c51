"""What all tests share: one real Kafka for the session, and fresh topics."""

from __future__ import annotations

import gc
import os
import signal
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.broker import EmbeddedBroker
from headrace.secret_keys import new_secret_key

NewTopicFactory = Callable[..., str]

# All services of a session, in this process and in others, open each other's secrets.
os.environ.setdefault("HEADRACE_SECRET_KEYS", new_secret_key())

# What stays (all flights, hundreds of modules) is walked less often than by default, as in services.
gc.set_threshold(50_000, 10, 10)

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start and stop would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = ("test_flights.py", "test_crash.py", "test_schemathesis.py", "test_leases_handed_over.py")
"""They begin first, so that none of several workers is left alone with one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; else all stays as it was."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The bootstrap servers of a real Kafka: the one in the environment, else an embedded one."""
    if servers := os.environ.get("HEADRACE_BOOTSTRAP_SERVERS"):
        yield servers
        return
    with EmbeddedBroker() as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def new_topic(kafka: str) -> NewTopicFactory:
    """Makes topics with names of their own."""
    admin = AdminClient({"bootstrap.servers": kafka})

    def make(partitions: int = 1, config: dict[str, str] | None = None, name: str = "") -> str:
        name = name or f"test-{uuid.uuid4().hex[:12]}"
        admin.create_topics([NewTopic(name, partitions, 1, config=config or {})])[name].result()
        return name

    return make
