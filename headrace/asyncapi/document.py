"""The AsyncAPI 3.0 document of the feeds that a caller may use."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from headrace import __version__
from headrace.access.scopes import Action
from headrace.asyncapi.channel import channel
from headrace.asyncapi.messages import KAFKA_HEADERS, kafka_headers
from headrace.asyncapi.operations import operations
from headrace.openapi.security import SECURITY_SCHEMES
from headrace.openapi.shapes import Shapes
from headrace.schemas.catalogue import Entry
from headrace.schemas.cloud_event import CloudEvent

Json = dict[str, Any]
DESCRIPTION = (
    "Feeds of events, each a Kafka topic. Over HTTP their events are CloudEvents in JSON; in Kafka, CloudEvents in "
    "binary mode, with Avro in Confluent's wire format where the feed has a schema. Streams, which clients make by "
    "PUT, are left out. `/openapi.json` tells the rest."
)


def asyncapi(feeds: Iterable[tuple[Entry, Set[Action]]], *, host: str, secure: bool, with_access: bool) -> Json:
    """The document. Each feed comes with what the caller may do; `host` is the one that it called, `secure` by TLS."""
    channels: Json = {}
    found: Json = {}
    for entry, actions in feeds:
        channels[entry.feed.name] = channel(entry)
        found |= operations(entry.feed, actions)
    servers = _servers(host, "s" if secure else "")
    shapes = Shapes([(CloudEvent, "serialization")])
    components: Json = {"schemas": {**shapes.components, KAFKA_HEADERS: kafka_headers()}}
    if with_access:
        components["securitySchemes"] = _security_schemes()
        for name in ("http", "webSocket"):
            servers[name]["security"] = [
                {"$ref": f"#/components/securitySchemes/{scheme}"} for scheme in components["securitySchemes"]
            ]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Headrace",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": servers,
        "channels": channels,
        "operations": found,
        "components": components,
    }


def _servers(host: str, s: str) -> Json:
    return {
        "http": {
            "host": host,
            "protocol": f"http{s}",
            "description": "Pages, long poll and server-sent events by GET; writing by POST.",
        },
        "webSocket": {
            "host": host,
            "protocol": f"ws{s}",
            "description": "The same URLs by upgrade: the events of a feed, or the subprotocol `headrace.v1`.",
        },
        "kafka": {
            "host": "{brokers}",
            "protocol": "kafka",
            "description": "The log itself. Transactions are used, so read with `isolation.level=read_committed`.",
            "variables": {
                "brokers": {
                    "default": "127.0.0.1:9092",
                    "description": "The address of your Kafka, as in HEADRACE_BOOTSTRAP_SERVERS.",
                }
            },
        },
    }


def _security_schemes() -> Json:
    """Those of OpenAPI; what it calls an API key is `httpApiKey` here."""
    return {
        name: {**scheme, "type": "httpApiKey"} if scheme["type"] == "apiKey" else scheme
        for name, scheme in SECURITY_SCHEMES.items()
    }
