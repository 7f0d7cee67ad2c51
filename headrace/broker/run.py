"""`headrace broker`: the embedded broker by itself, until it is told to stop."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from rich.console import Console

from headrace.broker.embedded import BrokerAlreadyRunning, EmbeddedBroker
from headrace.broker.jars import JarsUnavailable
from headrace.broker.java import JavaNotFound
from headrace.broker.node import BrokerFailed


def default_data_dir() -> Path:
    """`$HEADRACE_DATA_DIR`, else `headrace` in the user's data directory."""
    if directory := os.environ.get("HEADRACE_DATA_DIR"):
        return Path(directory)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "headrace"


def run_broker(data_dir: Path, port: int, heap_mb: int) -> int:
    """Run until SIGINT or SIGTERM, or until Kafka ends by itself. Blocks; returns the exit code."""
    console = Console(stderr=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    broker = EmbeddedBroker(data_dir, port=port, heap_mb=heap_mb)
    try:
        broker.start()
    except (BrokerAlreadyRunning, BrokerFailed, JarsUnavailable, JavaNotFound) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1
    console.print(f"Kafka listens at [bold]{broker.bootstrap_servers}[/bold]; log: {broker.log_file}", highlight=False)
    while not stop.wait(0.5):
        if not broker.alive:
            console.print(f"[red]Kafka has ended by itself; see {broker.log_file}[/red]", highlight=False)
            broker.kill()
            return 1
    broker.stop()
    return 0
