"""A feed as a channel: its URL, its topic, its messages."""

from __future__ import annotations

from typing import Any

from headrace.asyncapi.messages import messages
from headrace.schemas.catalogue import Entry
from headrace.schemas.feed import Feed

BINDING = "0.5.0"
"""The version of AsyncAPI's bindings for Kafka."""
Json = dict[str, Any]


def channel(entry: Entry) -> Json:
    """The channel. Its address is the one over HTTP; the topic stands in the binding for Kafka."""
    feed = entry.feed
    return {
        "address": f"/v1/feeds/{feed.name}/events",
        "title": feed.name,
        "description": feed.description,
        "messages": messages(entry),
        "bindings": {
            "kafka": {
                "topic": feed.topic,
                "partitions": feed.partitions,
                "topicConfiguration": _configuration(feed),
                "bindingVersion": BINDING,
            },
            "ws": {"method": "GET", "query": _query(), "bindingVersion": "0.1.0"},
        },
    }


def _configuration(feed: Feed) -> Json:
    if feed.compacted:
        return {"cleanup.policy": ["compact"]}
    retention_ms = feed.topic_spec().config["retention.ms"]
    return {"cleanup.policy": ["delete"], "retention.ms": int(retention_ms)}


def _query() -> Json:
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "offset": {**text, "description": "`-1` (the beginning, the default), `now`, or an offset token."},
            "from": {**text, "format": "date-time", "description": "Start at a time."},
            "partition": {"type": "integer", "minimum": 0},
            "key": text,
            "filter": {**text, "description": "An expression in CEL."},
        },
    }
