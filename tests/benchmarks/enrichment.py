"""The worker: real departures enriched with airline, airports, plane and weather, against stock Faust."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from benchmarks import stock_faust
from benchmarks.events import make_topic
from benchmarks.figure import Figure
from benchmarks.processes import process, service

FLIGHTS = 336_776
STOCK_FLIGHTS = 20_000
PARTITIONS = 6


def run(bootstrap_servers: str) -> list[Figure]:
    """Departures a second, from the first written out to the last, and the last offset committed."""
    environ = {"HEADRACE_BOOTSTRAP_SERVERS": bootstrap_servers, "HEADRACE_LOG_LEVEL": "error"}
    subprocess.run(
        [sys.executable, "-m", "headrace", "source", "replay", "--speed", "max"],
        env={**os.environ, **environ},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with service("worker", bootstrap_servers):
        ours = _rate(lambda: _records(bootstrap_servers, "flights.enriched"), FLIGHTS)
    make_topic(bootstrap_servers, stock_faust.TOPIC)
    with process([sys.executable, stock_faust.__file__, "worker", "--without-web", "-l", "error"], environ):
        stock = _rate(lambda: _records(bootstrap_servers, stock_faust.TOPIC), STOCK_FLIGHTS)
    return [Figure("enrichment of real flights, one worker", ours, "stock Faust, event by event", stock)]


def _rate(count: Callable[[], int], wanted: int) -> float:
    """Events a second from the first that is seen to the last that is wanted."""
    deadline = time.monotonic() + 120
    while (first := count()) == 0:
        assert time.monotonic() < deadline, "nothing was enriched"
        time.sleep(0.05)
    started = time.perf_counter()
    while (last := count()) < wanted:
        assert time.monotonic() < deadline, f"{last} of {wanted} were enriched"
        time.sleep(0.05)
    return (last - first) / (time.perf_counter() - started)


def _records(bootstrap_servers: str, topic: str) -> int:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    partitions = {TopicPartition(topic, p): OffsetSpec.latest() for p in range(PARTITIONS)}
    try:
        return sum(future.result().offset for future in admin.list_offsets(partitions).values())
    except Exception:
        return 0  # the topic is yet to be made
