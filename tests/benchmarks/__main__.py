"""`make bench`, or `PYTHONPATH=tests python -m benchmarks ingest pull ...` for some."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable

from benchmarks import (
    down,
    enrichment,
    fairness,
    fan_out,
    filters,
    idle,
    ingest,
    latency,
    leases,
    pull,
    subscriptions,
    webhooks,
)
from benchmarks.figure import Figure
from headrace.broker import EmbeddedBroker

BENCHMARKS: dict[str, Callable[[str], list[Figure]]] = {
    "ingest": ingest.run,
    "pull": pull.run,
    "sse": fan_out.run,
    "websocket": fan_out.run_websocket,
    "latency": latency.run,
    "idle": idle.run,
    "webhooks": webhooks.run,
    "leases": leases.run,
    "enrichment": enrichment.run,
    "filters": filters.run,
    "subscriptions": subscriptions.run,
    "fairness": fairness.run,
    "down": down.run,
}


def main() -> None:
    """Run those named, or all, on a broker of their own; print a line for each figure."""
    wanted = sys.argv[1:] or list(BENCHMARKS)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; broker on the same cores")
    for name in wanted:
        with EmbeddedBroker() as broker:
            for figure in BENCHMARKS[name](broker.bootstrap_servers):
                print(figure, flush=True)


if __name__ == "__main__":
    main()
