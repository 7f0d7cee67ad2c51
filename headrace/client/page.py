"""A page of events, and the position after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from headrace.client.event import Event


@dataclass(frozen=True)
class Page:
    """Events in order within each partition.

    `body` holds them as they came, one CloudEvent in each line (NDJSON), and is parsed only when `events` is asked
    for. `next_offset` is the position after the page: keep it, and go on from there. `up_to_date`: there was nothing
    after the page when it was answered. `cursor` goes into the next long poll (Durable Streams 1.0 section 8.1).
    """

    body: bytes
    next_offset: str
    up_to_date: bool
    cursor: str | None = None

    @classmethod
    def of_array(cls, array: bytes, next_offset: str, up_to_date: bool) -> Page:
        """A page of the events in a JSON array."""
        return cls.of_events(orjson.loads(array), next_offset, up_to_date)

    @classmethod
    def of_events(cls, events: Iterable[Any], next_offset: str, up_to_date: bool) -> Page:
        """A page of events as JSON has them."""
        body = b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in events)
        return cls(body, next_offset, up_to_date)

    @cached_property
    def events(self) -> list[Event]:
        """The events of the page."""
        return [Event(orjson.loads(line)) for line in self.body.splitlines()]

    def __len__(self) -> int:
        return self.body.count(b"\n")
