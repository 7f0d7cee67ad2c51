"""A stage for each test. A broker of its own, since the flights' topics have fixed names and Kafka itself is killed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from faults.services import steady_port
from faults.stage import Stage

from headrace.broker import EmbeddedBroker


@pytest.fixture(scope="session")
def rounds() -> int:
    """How often each test breaks things: HEADRACE_FAULT_ROUNDS, 1 by default."""
    return int(os.environ.get("HEADRACE_FAULT_ROUNDS", "1"))


@pytest.fixture(scope="session")
def faults(rounds: int) -> int:
    """How often a relay is killed or frozen at random: HEADRACE_RELAY_FAULTS, 5 for each round by default."""
    return int(os.environ.get("HEADRACE_RELAY_FAULTS", 5 * rounds))


@pytest_asyncio.fixture(loop_scope="session")
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    broker = EmbeddedBroker(tmp_path / "kafka", port=steady_port(), heap_mb=256)
    await asyncio.to_thread(broker.start)
    try:
        stage = Stage(tmp_path, broker)
        try:
            yield stage
        finally:
            # pytest shows this where the test failed.
            for service in stage.services.values():
                print(service.told())
            await stage.stop()
    finally:
        await asyncio.to_thread(broker.stop)
