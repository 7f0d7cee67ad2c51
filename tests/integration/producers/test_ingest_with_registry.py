"""With a schema registry, Confluent's own deserializer reads what we write, and we what its serializer writes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from support.records import records_of
from support.registry import registry
from support.running import service
from support.writer import write_feeds

from headrace.producers.ingest import Ingest
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import IngestSettings


@pytest.fixture
def feeds(tmp_path: Path) -> dict[str, str]:
    return write_feeds(tmp_path)


async def test_a_plain_avro_deserializer_reads_what_ingest_wrote(
    tmp_path: Path, feeds: dict[str, str], kafka: str
) -> None:
    with registry() as served:
        settings = IngestSettings(bootstrap_servers=kafka, feeds=tmp_path, schema_registry_url=served.url)
        async with service(Ingest(settings, load_catalogue(settings))) as url, aiohttp.ClientSession() as http:
            events = [{"id": f"o{n}", "n": n, "at": "2013-01-31T00:00:00.123Z"} for n in range(20)]
            async with http.post(f"{url}/v1/feeds/{feeds['avro']}/events", json=events) as answer:
                assert answer.status == 200
        topic = feeds["avro"]
        assert f"{topic}-value" in served.subjects
        assert not any(subject.endswith(".dead-value") for subject in served.subjects)
        deserialize = AvroDeserializer(SchemaRegistryClient({"url": served.url}))
        read = [
            deserialize(record.value(), SerializationContext(topic, MessageField.VALUE))
            for record in records_of(kafka, topic, 20)
        ]
        at = datetime(2013, 1, 31, 0, 0, 0, 123_000, UTC)
        assert sorted(read, key=lambda order: order["n"]) == [{"id": f"o{n}", "n": n, "at": at} for n in range(20)]


async def test_what_a_plain_avro_serializer_writes_is_decoded(tmp_path: Path, feeds: dict[str, str]) -> None:
    with registry() as served:
        settings = IngestSettings(feeds=tmp_path, schema_registry_url=served.url)
        codec = load_catalogue(settings)[feeds["avro"]].codec
        schema = '{"type": "record", "name": "test.Order", "fields": [{"name": "id", "type": "string"}]}'
        options: Any = {"subject.name.strategy": lambda context, name, *more: f"{context.topic}-value"}
        serialize = AvroSerializer(SchemaRegistryClient({"url": served.url}), schema, conf=options)
        value = serialize({"id": "theirs"}, SerializationContext(feeds["avro"], MessageField.VALUE))
        assert value is not None
        assert codec.decode(value) == {"id": "theirs", "n": 0, "at": None}
