"""The AsyncAPI document: valid by AsyncAPI's own schema, and true to the feeds."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import support
from fastavro import parse_schema
from jsonschema import Draft7Validator
from support.feeds import write_feed

from headrace.access.scopes import Action
from headrace.asyncapi.document import asyncapi
from headrace.schemas.catalogue import Catalogue, load_catalogue
from headrace.settings import Settings

SCHEMA = json.loads((Path(support.__file__).parent / "asyncapi" / "3.0.0.json").read_text("utf-8"))
ALL = frozenset(Action)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    write_feed(tmp_path, "plain.json", key="id", partitions=3)
    write_feed(tmp_path, "raw.bytes", format="bytes", media_type="image/png", retention_hours=1.5)
    return load_catalogue(Settings(feeds=tmp_path))


def of(catalogue: Catalogue, *, with_access: bool = False, secure: bool = False) -> Any:
    feeds = [(entry, ALL) for entry in catalogue.values()]
    return asyncapi(feeds, host="example.com:8080", secure=secure, with_access=with_access)


@pytest.mark.parametrize("with_access", [False, True])
def test_it_is_valid(catalogue: Catalogue, with_access: bool) -> None:
    document = of(catalogue, with_access=with_access)
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(document)] == []


def test_what_is_not_avro_is_found(catalogue: Catalogue) -> None:
    document = of(catalogue)
    record = document["channels"]["flights.enriched"]["messages"]["record"]
    record["payload"]["schema"] = {"type": "record", "name": "NoFields"}
    assert list(Draft7Validator(SCHEMA).iter_errors(document))


def test_references_lead_somewhere(catalogue: Catalogue) -> None:
    document = of(catalogue, with_access=True)
    for reference in references(document):
        reduce(lambda found, part: found[part], reference.removeprefix("#/").split("/"), document)


def test_a_feed_is_a_channel_with_its_topic_and_its_messages(catalogue: Catalogue) -> None:
    document = of(catalogue)
    channel = document["channels"]["flights.enriched"]
    assert channel["address"] == "/v1/feeds/flights.enriched/events"
    assert channel["bindings"]["kafka"]["topic"] == catalogue["flights.enriched"].feed.topic
    record = channel["messages"]["record"]
    assert record["payload"]["schemaFormat"] == "application/vnd.apache.avro;version=1.9.0"
    schema = record["payload"]["schema"]
    assert (schema["namespace"], schema["name"]) == ("flights", "EnrichedDeparture")
    parsed: Any = parse_schema(schema)
    assert parsed["name"] == "flights.EnrichedDeparture"
    assert "ce_id" in document["components"]["schemas"]["KafkaHeaders"]["properties"]
    raw = document["channels"]["raw.bytes"]
    assert raw["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] == 5_400_000
    assert raw["messages"]["record"]["contentType"] == "image/png"


def test_operations_are_what_the_caller_may_do(catalogue: Catalogue) -> None:
    entry, dead = catalogue["plain.json"], catalogue["plain.json.dead"]
    feeds = [(entry, {Action.PUBLISH}), (dead, ALL)]
    document = asyncapi(feeds, host="example.com", secure=False, with_access=True)
    assert set(document["operations"]) == {"plain.json.write", "plain.json.dead.read"}


def test_behind_tls_the_protocols_are_the_secure_ones(catalogue: Catalogue) -> None:
    servers = of(catalogue, secure=True)["servers"]
    assert (servers["http"]["protocol"], servers["webSocket"]["protocol"]) == ("https", "wss")
    assert servers["http"]["host"] == "example.com:8080"


def references(node: Any) -> list[str]:
    """All references within a document, but those in Avro schemas."""
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if not isinstance(node, dict):
        return []
    if isinstance(node.get("$ref"), str):
        return [node["$ref"]]
    return [found for value in node.values() for found in references(value)]
