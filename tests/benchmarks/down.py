"""An endpoint that is down for three days: what that costs meanwhile, and how it catches up.

The days are simulated: a breaker that is open for ten minutes at most lets 432 probes start in three days, and as many
are made here, a tenth of a second apart. `BENCH_DOWN_EVENTS` says how many events come meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import time

import orjson
import uvloop

from benchmarks.events import FEED, make_topic, produce, written_bytes
from benchmarks.figure import Figure
from benchmarks.processes import feeds, gauge, service, until, wait_for_gauge
from benchmarks.receiver import Receiver
from benchmarks.subscribers import host, subscribe
from headrace.consumers.relay.options import Batching, Options

EVENTS = int(os.environ.get("BENCH_DOWN_EVENTS", "1000000"))
PROBES = 432
BATCH = 50
REQUESTS_PER_S = 60.0
SETTINGS = {
    "HEADRACE_WEBHOOK_ALLOW": "127.0.0.0/8",
    "HEADRACE_FIRST_OPEN_S": "0.1",
    "HEADRACE_MAX_OPEN_S": "0.1",
    "HEADRACE_RETRY_SCHEDULE_S": ",".join(["1"] * 50),
}


class Ledger(Receiver):
    """Which events came, how often more than once, and how often one came before an earlier one of its key."""

    def __init__(self) -> None:
        super().__init__()
        self.repeats = self.disorders = 0
        self._latest: dict[str, int] = {}

    def take(self, body: bytes) -> None:
        """Note a batch."""
        self.last_s = time.time()
        self.first_s = self.first_s or self.last_s
        self.requests += 1
        for told in orjson.loads(body):
            number, key = told["data"]["number"], told["data"]["key"]
            self.repeats += number in self.seen
            self.disorders += number < self._latest.get(key, -1)
            self.seen.add(number)
            self._latest[key] = number


def run(bootstrap_servers: str) -> list[Figure]:
    """Events a second after it is back, of one that asks for order and one that does not, beside their rate limit."""
    make_topic(bootstrap_servers, "bench")
    return uvloop.run(_measure(bootstrap_servers))


async def _measure(bootstrap_servers: str) -> list[Figure]:
    ledgers = {"none": Ledger(), "key": Ledger()}
    ports = {name: await ledger.start() for name, ledger in ledgers.items()}
    for ledger in ledgers.values():
        await ledger.stop()
    batch = Batching(max_events=BATCH, max_wait_ms=1000)
    wanted = {
        name: (
            f"http://{host(0)}:{port}/",
            Options.model_validate({"ordering": name, "batch": batch, "rate_limit_per_s": REQUESTS_PER_S}),
        )
        for name, port in ports.items()
    }
    await asyncio.to_thread(subscribe, bootstrap_servers, "bench", wanted)
    with feeds(bench=FEED) as environ, service("relay", bootstrap_servers, **environ, **SETTINGS) as relay:
        await asyncio.to_thread(produce, bootstrap_servers, "bench", EVENTS)
        await _probes(relay, len(wanted) * 20)
        before = await _costs(bootstrap_servers, relay)
        await _probes(relay, len(wanted) * PROBES)
        after = await _costs(bootstrap_servers, relay)
        for name, ledger in ledgers.items():
            await ledger.start(ports[name])
        limit_per_s = BATCH * REQUESTS_PER_S
        await until(
            lambda: all(len(ledger.seen) == EVENTS for ledger in ledgers.values()), 2 * EVENTS / limit_per_s + 120
        )
    note = f"{PROBES} probes of each, as in three days: {before} before, {after} after"
    return [
        Figure(
            f"caught up after three days, order {name}",
            len(ledger.seen) / (ledger.last_s - ledger.first_s),
            "its rate limit",
            limit_per_s,
            f"{EVENTS:,} events, {ledger.repeats} of them twice, {ledger.disorders} out of order of their key; {note}",
        )
        for name, ledger in ledgers.items()
    ]


async def _probes(relay: int, count: int) -> None:
    """Wait for so many more failed attempts."""
    began = await asyncio.to_thread(gauge, relay, "headrace_relay_attempts_total")
    await asyncio.to_thread(wait_for_gauge, relay, "headrace_relay_attempts_total", began + count)


async def _costs(bootstrap_servers: str, relay: int) -> str:
    memory = await asyncio.to_thread(gauge, relay, "process_resident_memory_bytes")
    positions = await asyncio.to_thread(written_bytes, bootstrap_servers, "headrace.positions")
    attempts = await asyncio.to_thread(written_bytes, bootstrap_servers, "headrace.attempts")
    return f"memory {memory / 2**20:.0f} MB, positions {positions / 1024:.0f} KB, attempts {attempts / 1024:.0f} KB"
