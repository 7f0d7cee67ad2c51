"""What is told of a feed."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from headrace.schemas.catalogue import Entry
from headrace.schemas.feed import Format


class FeedSummary(TypedDict):
    """What is known of a feed without asking Kafka."""

    name: str
    description: str
    topic: Annotated[str, Field(description="The Kafka topic that holds it.")]
    format: Annotated[Format, Field(description="What its values are in Kafka.")]
    media_type: Annotated[str, Field(description="What is posted, and read as the data of its events.")]
    event_type: Annotated[str, Field(description="The `type` of events that say none.")]
    schema_name: Annotated[str | None, Field(description="The Avro type of its data.")]
    key: Annotated[str | None, Field(description="The field of the data that is the record's key.")]
    compacted: Annotated[bool, Field(description="Whether it keeps the last event of every key for ever.")]
    retention_hours: Annotated[float | None, Field(description="How long it keeps events; null: for ever.")]
    events: Annotated[str, Field(description="The URL of its events.")]


class FeedDescription(FeedSummary):
    """A feed as it is in Kafka now."""

    partitions: Annotated[int, Field(ge=1)]
    topic_id: Annotated[str, Field(description="Kafka's id: another once the topic was made again.")]
    earliest_offset: Annotated[str, Field(description="The offset of the oldest event that is kept.")]
    next_offset: Annotated[str, Field(description="The offset after the newest event.")]
    records: Annotated[int, Field(description="Offsets between the two: events, and holes where there are some.", ge=0)]
    schema: NotRequired[Annotated[dict[str, Any], Field(description="The Avro schema, with all types it names.")]]


class FeedList(TypedDict):
    """The feeds that the caller may use."""

    feeds: list[FeedSummary]


def summary(entry: Entry) -> FeedSummary:
    """What is known of a feed without asking Kafka."""
    feed = entry.feed
    return {
        "name": feed.name,
        "description": feed.description,
        "topic": feed.topic,
        "format": feed.format,
        "media_type": feed.media_type,
        "event_type": feed.event_type,
        "schema_name": feed.schema,
        "key": feed.key,
        "compacted": feed.compacted,
        "retention_hours": feed.retention_hours,
        "events": f"/v1/feeds/{feed.name}/events",
    }
