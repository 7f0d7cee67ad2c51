"""The stream processor of the flights example."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from headrace import metrics
from headrace.kafka.admin import admin_client
from headrace.kafka.bridge import Outgoing
from headrace.kafka.table import Table
from headrace.schemas.catalogue import Catalogue
from headrace.settings import WorkerSettings
from headrace.streams.app import StreamApp
from headrace.streams.dedup import Seen
from headrace.streams.flights.aircraft import Aircraft
from headrace.streams.flights.references import References
from headrace.streams.flights.transform import Transform
from headrace.streams.transport.batch import Batch
from headrace.streams.warm import warm


def add_to(app: StreamApp, settings: WorkerSettings) -> None:
    """Add the flights to a worker's app."""
    app.add(Flights(settings, app.catalogue))


class Flights:
    """`flights.departures` to `flights.enriched`, and the latest leg of every plane to `aircraft`."""

    feed = "flights.departures"

    def __init__(self, settings: WorkerSettings, catalogue: Catalogue) -> None:
        self._kafka = settings.kafka()
        self._catalogue = catalogue
        self._topic = catalogue[self.feed].feed.topic
        self._transform = Transform(catalogue[self.feed], catalogue["flights.enriched"], catalogue["aircraft"])
        self._seen: defaultdict[int, Seen] = defaultdict(lambda: Seen(settings.dedup_events))
        self._aircraft = Aircraft()

    async def start(self) -> None:
        """Read the reference data and the latest legs."""
        admin = admin_client(self._kafka)
        self._references = References(self._kafka, admin, self._catalogue, self._transform.encoder)
        legs = self._catalogue["aircraft"]
        self._legs = Table(self._kafka, admin, legs.feed.topic, legs.codec.decode, self._aircraft.learn)
        await self._references.load()
        await self._legs.load()

    async def process(self, batch: Batch) -> Sequence[Outgoing]:
        """The outputs of a batch."""
        records, seen = batch.records, self._seen[batch.partition]
        if seen.missing_before(records[0].offset):
            # The partition has just come: what its last owner knew is in the log.
            await warm(seen, self._kafka, self._topic, batch.partition, records[0].offset)
            await self._legs.catch_up()
        await self._references.as_of(max(record.timestamp for record in records))
        started = time.perf_counter()
        outputs = self._transform(records, seen, self._references.lookups, self._aircraft)
        metrics.transform_seconds.labels(self.feed).observe(time.perf_counter() - started)
        metrics.stream_records.labels(self.feed).inc(len(records))
        metrics.stream_duplicates.labels(self.feed).inc(outputs.duplicates)
        metrics.stream_events_out.labels("flights.enriched").inc(len(outputs.enriched))
        metrics.stream_events_out.labels("aircraft").inc(len(outputs.legs))
        metrics.dead_letters.labels(self.feed, "unprocessable").inc(len(outputs.dead))
        return outputs.enriched + outputs.legs + outputs.dead

    async def close(self) -> None:
        """Stop following."""
        await self._references.close()
        await self._legs.close()
