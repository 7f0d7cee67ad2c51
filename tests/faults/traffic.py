"""What is written while things break: real flights by replay, and departures of our own over HTTP."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from typing import Any

import orjson
from faults.ledger import Ledger
from faults.services import Service
from faults.stage import DEPARTURES, Stage

from headrace.client import Client, EventsRejected, NewEvent, Unavailable, Written
from headrace.producers.replay.flights import departures
from headrace.schemas.avro_json import to_json
from headrace.schemas.catalogue import Catalogue
from headrace.schemas.event import now

MINUTE_MS = 60_000
BEGIN_MS = 1_356_998_400_000
"""2013-01-01."""

PLANES = 20
"""Keys of one writer."""


def as_read(catalogue: Catalogue, data: Any) -> dict[str, Any]:
    """A departure's data as readers get it in JSON."""
    codec = catalogue[DEPARTURES].codec
    read: dict[str, Any] = orjson.loads(to_json(codec.decode(codec.encode(data))))
    return read


def replay(stage: Stage, rows: int, seconds: float) -> Service:
    """Start a replay of the first flights, paced to take about so long. They go into the ledger in their order."""
    times_ms: list[int] = []
    for row in itertools.islice(departures().rows(0), rows):
        data = as_read(stage.catalogue, row.data)
        stage.ledger.produced(row.id, data["tailnum"], data)
        times_ms.append(row.time_ms or 0)
    speed = max((times_ms[-1] - times_ms[0]) / 1000 / seconds, 1.0)
    arguments = ("source", "replay", "--speed", f"{speed:.0f}", "--limit", str(rows))
    return stage.service("replay", *arguments)


async def replayed(stage: Stage, service: Service, rows: int) -> None:
    """Wait for the replay's end. It tells of success only when Kafka has acknowledged every row."""
    await service.finished(120)
    for row in itertools.islice(departures().rows(0), rows):
        stage.ledger.acknowledged(row.id)


def departure(number: int, tailnum: str | None) -> dict[str, Any]:
    """A departure made up; its flight number says which one it is."""
    hour_ms = BEGIN_MS + number // 60 * 60 * MINUTE_MS
    return {
        "carrier": "UA",
        "flight": number,
        "tailnum": tailnum,
        "origin": "EWR",
        "dest": "IAH",
        "scheduled_departure": hour_ms + number % 60 * MINUTE_MS,
        "hour": hour_ms,
        "dep_delay_min": number % 200,
        "arr_delay_min": None,
        "air_time_min": None,
        "distance_mi": 1400,
    }


class Writer:
    """Posts departures of its own planes to a gateway, one request after the other, until it is told to stop.

    What was not acknowledged is sent again under the same ids, without end. Now and then what was acknowledged is sent
    again too, as by a client that never saw the answer.
    """

    def __init__(self, stage: Stage, gateway: str, name: str, *, batch: int, pause_s: float = 0.0) -> None:
        self.requests = 0
        self.sent_again = 0
        self._ledger: Ledger = stage.ledger
        self._catalogue = stage.catalogue
        self._gateway = gateway
        self._name = name
        self._batch = batch
        self._pause_s = pause_s
        self._numbers = itertools.count()
        self._random = random.Random(name)
        self._stopping = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())
        stage.watch(self._task)

    async def _run(self) -> None:
        async with Client(self._gateway, patience_s=10) as client:
            for events in self._requests():
                await self._write(client, events)
                if self._random.random() < 0.05:
                    await self._write(client, events)
                    self.sent_again += 1
                self.requests += 1
                if self._stopping.is_set():
                    return
                await asyncio.sleep(self._pause_s)

    def _requests(self) -> Iterator[list[NewEvent]]:
        while True:
            events = []
            for number in itertools.islice(self._numbers, self._batch):
                data = departure(number, f"{self._name}-{number % PLANES}")
                event = NewEvent("flights.departure", "/test", data, id=f"{self._name}-{number}", time=now())
                self._ledger.produced(event.id, data["tailnum"], as_read(self._catalogue, data))
                events.append(event)
            yield events

    async def _write(self, client: Client, events: list[NewEvent]) -> None:
        while True:
            try:
                self._note(await client.publish(DEPARTURES, events))
                return
            except EventsRejected as error:
                self._note(error.written)
                if any(rejection.status != 503 for rejection in error.rejected):
                    raise
            except Unavailable:
                continue

    def _note(self, written: list[Written]) -> None:
        for event in written:
            self._ledger.acknowledged(event.id, (event.partition, event.offset))

    async def stop(self) -> None:
        """Finish the request under way; raises what the writer raised."""
        self._stopping.set()
        await asyncio.wait_for(self._task, 90)
