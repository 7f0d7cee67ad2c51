"""The attempts of one subscription: read from the feed of all attempts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import Field

from headrace.consumers.core.feed_log import BEGINNING, FeedLog
from headrace.consumers.core.position import Position, PositionError
from headrace.consumers.refused import refused
from headrace.consumers.subscription_request import Start, milliseconds

READ_EVENTS = 1000
MOST_READ = 50_000
"""Attempts that are looked at for one page, of whatever subscription: a page may end before it is full."""


class AskAttempts(Start):
    """Which attempts: from an offset token or a time on, of an outcome or an event."""

    limit: int = Field(100, ge=1, le=1000, description="Most attempts of the page.")
    outcome: str | None = Field(None, description="Only those that ended so, such as `retry` or `dead_letter`.")
    event_id: str | None = Field(None, description="Only those of the event with this id.")

    def wants(self, attempt: Mapping[str, Any]) -> bool:
        """Whether an attempt is among them."""
        return self.outcome in (None, attempt.get("outcome")) and self.event_id in (None, attempt.get("event_id"))


async def attempts_page(log: FeedLog, subscription: str, asked: AskAttempts) -> tuple[dict[str, Any], bool]:
    """A page: `attempts`, and the `next_offset` to go on from; and whether nothing was after it when it was read.

    Raises `Problem` 400, or 410 where attempts from there on are no longer kept; `KafkaUnavailable`.
    """
    try:
        if asked.from_ is not None:
            position = await log.at_time(milliseconds(asked.from_))
        else:
            position = await log.resolve(asked.offset or BEGINNING)
        return await _page(log, subscription, asked, position)
    except PositionError as error:
        raise refused(log, error) from None


async def _page(log: FeedLog, subscription: str, asked: AskAttempts, position: Position) -> tuple[dict[str, Any], bool]:
    await log.refresh()
    key, looked_at, up_to_date = subscription.encode(), 0, False
    found: list[dict[str, Any]] = []
    while len(found) < asked.limit and looked_at < MOST_READ:
        batch = await log.read(position, READ_EVENTS)
        if not batch.records:
            up_to_date = True
            break
        looked_at += len(batch.records)
        passed = list(position)
        for record in batch.records:
            passed[record.partition] = record.offset + 1
            if record.key == key and asked.wants(attempt := orjson.loads(record.message.value() or b"{}")):
                found.append(attempt)
                if len(found) == asked.limit:
                    break
        else:
            passed = list(batch.position)
        position = tuple(passed)
    return {"attempts": found, "next_offset": log.token(position)}, up_to_date
