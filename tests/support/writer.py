"""The writing API for tests: feeds of every kind, and a client of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from headrace.schemas.catalogue import Catalogue
from support.feeds import release, write_feed, write_schema

SCHEMA = "test.Order"
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "n", "type": "int", "default": 0},
    {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": None},
]


@dataclass
class Writer:
    """What a test writes with: the URL of the service, its feeds by kind, and an HTTP client."""

    url: str
    feeds: dict[str, str]
    catalogue: Catalogue
    http: aiohttp.ClientSession
    kafka: str

    def path(self, kind: str) -> str:
        return f"{self.url}/v1/feeds/{self.feeds.get(kind, kind)}/events"

    async def post(
        self, kind: str, body: Any, content_type: str = "application/json", **headers: str
    ) -> tuple[int, Any]:
        """Post a body, JSON unless it is bytes; gives the status and what was answered."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(
            self.path(kind), data=data, headers={"Content-Type": content_type, **named}
        ) as answer:
            return answer.status, await answer.json(content_type=None)


def write_feeds(directory: Path) -> dict[str, str]:
    """One feed of every kind."""
    write_schema(directory, SCHEMA, FIELDS)
    feeds = {
        "avro": write_feed(directory, schema=SCHEMA, key="id", partitions=3),
        "table": write_feed(directory, schema=SCHEMA, key="id", compacted=True),
        "json": write_feed(directory, partitions=3),
        "keyed": write_feed(directory, key="id", partitions=3),
        "bytes": write_feed(directory, format="bytes", media_type="image/png", partitions=3),
    }
    release(directory)
    return feeds
