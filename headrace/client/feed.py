"""What the gateway tells of a feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from headrace.client.exchange import Exchange, Request
from headrace.client.problems import FeedNotFound


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed. What is None in a list of feeds is told of a single one. `raw` is the whole answer.

    `records` counts offsets from the oldest event to the newest; where the log was compacted fewer events are left.
    """

    name: str
    description: str
    topic: str
    format: str
    media_type: str
    event_type: str
    key: str | None
    partitions: int | None
    earliest_offset: str | None
    next_offset: str | None
    records: int | None
    raw: Mapping[str, Any]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Feed:
        """The feed in an answer."""
        return cls(
            name=raw["name"],
            description=raw.get("description", ""),
            topic=raw.get("topic", ""),
            format=raw.get("format", ""),
            media_type=raw.get("media_type", ""),
            event_type=raw.get("event_type", ""),
            key=raw.get("key"),
            partitions=raw.get("partitions"),
            earliest_offset=raw.get("earliest_offset"),
            next_offset=raw.get("next_offset"),
            records=raw.get("records"),
            raw=raw,
        )


def feed_path(feed: str) -> str:
    """The path of a feed."""
    return f"/v1/feeds/{quote(feed, safe='')}"


async def list_feeds(exchange: Exchange) -> list[Feed]:
    """All feeds, dead letters included."""
    answer = await exchange.ask(Request("GET", "/v1/feeds"))
    return [Feed.of(raw) for raw in orjson.loads(answer.body)["feeds"]]


async def get_feed(exchange: Exchange, name: str) -> Feed:
    """One feed; raises `FeedNotFound`."""
    answer = await exchange.ask(Request("GET", feed_path(name), not_found=FeedNotFound))
    return Feed.of(orjson.loads(answer.body))
