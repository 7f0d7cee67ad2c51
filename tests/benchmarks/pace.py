"""Has a gateway accept events at a steady rate, each with the time when it was sent: `python -m benchmarks.pace`.

At its end it writes when each event was acknowledged into a file, a JSON array by event number, where it is given one.

A process of its own, so that neither the receiver's work nor its garbage makes events late.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import orjson
import uvloop

from benchmarks.connection import Connection, post
from benchmarks.events import event
from benchmarks.processes import process, until

EVERY_S = 0.01
"""A request with the events of so long: what a producer does that has more than a few events a second."""

TOGETHER = 50
"""Events in a request of those that keep up."""
SENDERS = 8
LOOK_S = 0.002


def command(gateway: int, feed: str, per_s: float, count: int, acknowledged: Path | None = None) -> list[str]:
    """The command that has `count` events accepted by the gateway at a port."""
    file = [] if acknowledged is None else [str(acknowledged)]
    return [sys.executable, "-m", "benchmarks.pace", str(gateway), feed, str(per_s), str(count), *file]


async def paced(gateway: int, feed: str, per_s: float, count: int, received: Callable[[], bool]) -> list[float]:
    """Have `count` events accepted until all are received; gives when each was acknowledged, in seconds since 1970."""
    with tempfile.TemporaryDirectory() as directory:
        acknowledged = Path(directory) / "acknowledged.json"
        with process(command(gateway, feed, per_s, count, acknowledged), {}):
            await until(lambda: received() and acknowledged.exists())
        found: list[float] = orjson.loads(acknowledged.read_bytes())
    return found


async def kept_up(gateway: int, feed: str, count: int, on_the_way: int, received: Callable[[], int]) -> None:
    """Have `count` events accepted as fast as they are received: never more than `on_the_way` that are not yet."""
    numbers = iter(range(0, count, TOGETHER))

    def has_room(end: int) -> bool:
        return end - received() <= on_the_way

    async def send() -> None:
        connection = await Connection.open(gateway)
        for first in numbers:
            await until(partial(has_room, first + TOGETHER), look_s=LOOK_S)
            body = orjson.dumps([event(number) for number in range(first, first + TOGETHER)])
            status, _, answer = await connection.exchange(post(f"/v1/feeds/{feed}/events", body))
            assert status == 200, answer
        connection.close()

    await asyncio.gather(*(send() for _ in range(SENDERS)))
    await until(lambda: received() == count)


def percentiles(seconds: Iterable[float]) -> dict[float, float]:
    """Of times in seconds the median and the 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    return {share: 1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99)}


async def pace(gateway: int, feed: str, per_s: float, count: int) -> list[float]:
    """Send events numbered from 0; gives when each was acknowledged, in seconds since 1970."""
    acknowledged_s = [0.0] * count
    free: list[Connection] = []
    requests: set[asyncio.Task[None]] = set()

    async def send(events: range) -> None:
        connection = free.pop() if free else await Connection.open(gateway)
        body = orjson.dumps([{"sent_s": time.time(), **event(number)} for number in events])
        status, _, answer = await connection.exchange(post(f"/v1/feeds/{feed}/events", body))
        assert status == 200, answer
        now_s = time.time()
        for number in events:
            acknowledged_s[number] = now_s
        free.append(connection)

    began_s = time.perf_counter()
    sent = 0
    while sent < count:
        await asyncio.sleep(EVERY_S)
        due = min(int((time.perf_counter() - began_s) * per_s), count)
        if due > sent:
            requests.add(asyncio.ensure_future(send(range(sent, due))))
            sent = due
    await asyncio.gather(*requests)
    return acknowledged_s


if __name__ == "__main__":
    acknowledged = uvloop.run(pace(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
    for path in sys.argv[5:]:
        unfinished = Path(f"{path}.part")
        unfinished.write_bytes(orjson.dumps(acknowledged))
        unfinished.rename(path)
