"""Reference data: compacted topics in memory, as of the events that are looked up in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka.admin import AdminClient

from headrace.kafka.table import Table
from headrace.schemas.catalogue import Catalogue
from headrace.schemas.fieldwise import FieldwiseEncoder
from headrace.streams.flights.enrich import Lookups

CLOCK_SKEW_MS = 1000
"""How far a producer's clock may be behind ours before an event could miss reference data written just before it."""


class References:
    """Airlines, airports, planes and weather. Bound to the running event loop.

    Every worker holds all of it: one entry per key, encoded already for `encoder`.
    """

    FEEDS = ("flights.airlines", "flights.airports", "flights.planes", "flights.weather")

    def __init__(
        self, kafka: Mapping[str, Any], admin: AdminClient, catalogue: Catalogue, encoder: FieldwiseEncoder
    ) -> None:
        entries: list[Callable[[Any], Any]] = [
            lambda airline: airline["name"],
            lambda airport: encoder.part("origin_airport", airport),
            lambda plane: encoder.part("plane", plane),
            lambda weather: encoder.part("weather", weather),
        ]
        self._tables = [
            _table(kafka, admin, catalogue, feed, entry) for feed, entry in zip(self.FEEDS, entries, strict=True)
        ]
        self.lookups = Lookups(*self._tables)
        self._as_of_ms = 0

    async def load(self) -> None:
        """Read all of it; raises `UnknownTopic` or `KafkaUnavailable`."""
        await self._refresh(Table.load)

    async def as_of(self, newest_ms: int) -> None:
        """Wait until all that was acknowledged before an event with this record timestamp is here.

        A backlog costs nothing: its events are older than the last time that this was made sure of. For events as
        young as that, Kafka is asked once a batch, which takes about 2 ms.
        """
        if newest_ms + CLOCK_SKEW_MS >= self._as_of_ms:
            await self._refresh(Table.catch_up)

    async def _refresh(self, refresh: Callable[[Table[Any]], Any]) -> None:
        now_ms = time.time_ns() // 1_000_000
        await asyncio.gather(*(refresh(table) for table in self._tables))
        self._as_of_ms = now_ms

    async def close(self) -> None:
        """Stop following."""
        await asyncio.gather(*(table.close() for table in self._tables))


def _table(
    kafka: Mapping[str, Any], admin: AdminClient, catalogue: Catalogue, feed: str, entry: Callable[[Any], Any]
) -> Table[Any]:
    decode = catalogue[feed].codec.decode
    return Table(kafka, admin, catalogue[feed].feed.topic, lambda value: entry(decode(value)))
