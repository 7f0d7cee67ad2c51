"""The same enrichment as an ordinary Faust app, event by event: the reference."""

from __future__ import annotations

import os

import faust
from confluent_kafka import Consumer, TopicPartition

from headrace.schemas.catalogue import load_catalogue
from headrace.schemas.codec import AvroCodec
from headrace.schemas.fieldwise import FieldwiseEncoder
from headrace.settings import WorkerSettings
from headrace.streams.flights.enrich import READY, Lookups, enrich

TOPIC = "stock.enriched"
SERVERS = os.environ.get("HEADRACE_BOOTSTRAP_SERVERS", "")

catalogue = load_catalogue(WorkerSettings())
codec = catalogue["flights.enriched"].codec
assert isinstance(codec, AvroCodec)
encoder = FieldwiseEncoder(codec, READY)
decode = catalogue["flights.departures"].codec.decode

app = faust.App("stock", broker=f"kafka://{SERVERS}", topic_disable_leader=True, consumer_auto_offset_reset="earliest")
departures = app.topic("flights.departures", value_serializer="raw", key_serializer="raw")
enriched = app.topic(TOPIC, value_serializer="raw", key_serializer="raw", partitions=6)


def read_all(feed: str) -> list[dict[str, object]]:
    """The values of a reference feed."""
    consumer = Consumer({"bootstrap.servers": SERVERS, "group.id": "stock-reference", "enable.partition.eof": True})
    consumer.assign([TopicPartition(feed, 0, 0)])
    values: list[dict[str, object]] = []
    while True:
        for message in consumer.consume(5000, 1):
            if message.error():
                consumer.close()
                return values
            values.append(catalogue[feed].codec.decode(message.value() or b""))


def lookups() -> Lookups:
    """The reference data, read once."""
    return Lookups(
        {str(a["carrier"]): str(a["name"]) for a in read_all("flights.airlines")},
        {str(a["faa"]): encoder.part("origin_airport", a) for a in read_all("flights.airports")},
        {str(p["tailnum"]): encoder.part("plane", p) for p in read_all("flights.planes")},
        {str(w["id"]): encoder.part("weather", w) for w in read_all("flights.weather")},
    )


@app.agent(departures)
async def process(stream: faust.StreamT[bytes]) -> None:
    """Enrich event by event."""
    known = lookups()
    async for event in stream.events():
        value = encoder.encode(enrich(decode(event.value), known))
        await enriched.send(key=event.key, value=value, headers=event.headers)


if __name__ == "__main__":
    app.main()
