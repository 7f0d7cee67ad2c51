"""Writes events at a steady rate, each with the time when it was handed over: `python -m benchmarks.pace`.

A process of its own, so that neither the receiver's work nor its garbage makes events late.
"""

from __future__ import annotations

import sys
import time

import orjson
from confluent_kafka import Producer

from benchmarks.events import event


def command(bootstrap_servers: str, topic: str, per_s: float, count: int) -> list[str]:
    """The command that writes `count` events."""
    return [sys.executable, "-m", "benchmarks.pace", bootstrap_servers, topic, str(per_s), str(count)]


def pace(bootstrap_servers: str, topic: str, per_s: float, count: int) -> None:
    """Write events numbered from 0."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 2, "acks": "all"})
    producer.list_topics(topic, 10)  # connects before the clock runs
    began_s = time.time()
    for number in range(count):
        while (left_s := began_s + number / per_s - time.time()) > 0:
            producer.poll(0)
            time.sleep(min(left_s, 0.001))
        producer.produce(topic, orjson.dumps({"sent_s": time.time(), **event(number)}), str(number))
    assert producer.flush(60) == 0


if __name__ == "__main__":
    pace(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
