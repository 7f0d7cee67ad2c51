"""The events of a feed as messages: as they lie in Kafka, and as they are read and written over HTTP."""

from __future__ import annotations

from typing import Any

from headrace.asyncapi.avro import with_namespaces
from headrace.schemas.catalogue import Entry
from headrace.schemas.cloud_event import CloudEvent
from headrace.schemas.codec import AvroCodec
from headrace.schemas.feed import Feed

KAFKA_HEADERS = "KafkaHeaders"
AVRO = "application/vnd.apache.avro;version=1.9.0"
Json = dict[str, Any]


def messages(entry: Entry) -> Json:
    """Both, by the names under which operations refer to them."""
    return {"record": _record(entry), "cloudEvent": _cloud_event(entry.feed)}


def _record(entry: Entry) -> Json:
    feed, codec = entry.feed, entry.codec
    kafka: Json = {"key": {"type": "string", "description": _key(feed)}}
    said: Json = {
        "name": feed.event_type,
        "title": f"{feed.name} in Kafka",
        "contentType": codec.content_type,
        "headers": {"$ref": f"#/components/schemas/{KAFKA_HEADERS}"},
    }
    if isinstance(codec, AvroCodec):
        said["summary"] = "Avro in Confluent's wire format: a zero byte, the schema's id in four bytes, the value."
        said["payload"] = {"schemaFormat": AVRO, "schema": with_namespaces(codec.schema.definition())}
        kafka |= {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}
        kafka["schemaLookupStrategy"] = "TopicNameStrategy"
    else:
        said["payload"] = {} if feed.format == "json" else {"type": "string", "format": "binary"}
    return {**said, "bindings": {"kafka": kafka}}


def _cloud_event(feed: Feed) -> Json:
    return {
        "name": feed.event_type,
        "title": f"{feed.name} over HTTP",
        "summary": "A CloudEvent in structured JSON; `data` is the JSON form of the record's value.",
        "contentType": "application/cloudevents+json",
        "payload": {"$ref": f"#/components/schemas/{CloudEvent.__name__}"},
    }


def _key(feed: Feed) -> str:
    return "`partitionkey` of the event." if feed.key is None else f"The text of the field `{feed.key}`."


def kafka_headers() -> Json:
    """The headers of every record that Headrace writes."""
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "A CloudEvent's attributes in Kafka's binary mode. Extensions are further headers `ce_<name>`.",
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": {**text, "description": "Equal ids in a feed are the same event, delivered again."},
            "ce_type": text,
            "ce_source": text,
            "ce_time": {**text, "format": "date-time"},
            "ce_subject": text,
            "content-type": {**text, "description": "The media type of the value."},
        },
        "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"],
    }
