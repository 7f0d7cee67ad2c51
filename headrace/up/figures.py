"""What the live view shows of each service, from its own `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from headrace.up.child import Child, State

ASK_S = 1.0
WINDOW = 5
"""Rates are over the last so many answers."""


class Figures:
    """How many events each service has handled, and how fast. `run` asks once a second."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._counts: dict[str, list[tuple[float, float]]] = {child.service.name: [] for child in children}

    def total(self, child: Child) -> int | None:
        """Events since the service started; None where it has not answered."""
        counts = self._counts[child.service.name]
        return int(counts[-1][1]) if counts else None

    def per_second(self, child: Child) -> float | None:
        """Events a second over the last seconds."""
        counts = self._counts[child.service.name]
        if len(counts) < 2:
            return None
        (first_s, first), (last_s, last) = counts[0], counts[-1]
        return (last - first) / (last_s - first_s)

    async def run(self) -> None:
        """Ask until cancelled."""
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.gather(*(self._ask(session, child) for child in self._children))
                await asyncio.sleep(ASK_S)

    async def _ask(self, session: aiohttp.ClientSession, child: Child) -> None:
        counts = self._counts[child.service.name]
        if child.state not in (State.STARTING, State.READY, State.NOT_READY):
            counts.clear()
            return
        base = f"http://127.0.0.1:{child.service.port}"
        try:
            async with session.get(f"{base}/readyz") as answer:
                ready = answer.status == 200
            async with session.get(f"{base}/metrics") as answer:
                count = _sum(await answer.text(), child.service.metric)
        except (aiohttp.ClientError, TimeoutError):
            return
        if child.state in (State.STARTING, State.READY, State.NOT_READY):
            child.state = State.READY if ready else State.NOT_READY
        if counts and count < counts[-1][1]:
            counts.clear()  # it was started anew
        counts.append((time.monotonic(), count))
        del counts[:-WINDOW]


def _sum(text: str, metric: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        if family.name == metric.removesuffix("_total")
        for sample in family.samples
        if sample.name == metric
    )
