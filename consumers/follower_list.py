"""`GET /v1/followers`: who follows live from this process, the slowest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NotRequired

import orjson
from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from headrace.consumers.fan_out import FanOut
from headrace.consumers.follower import Follower
from headrace.consumers.parameters import number, wrong
from headrace.schemas.event import rfc3339

DEFAULT_LIMIT = 100
MOST_LIMIT = 10_000


class FollowerRow(TypedDict):
    """One who follows live."""

    address: Annotated[str | None, Field(description="Behind a proxy, the proxy's.")]
    feed: str
    mode: Literal["sse", "websocket"]
    partition: NotRequired[str]
    key: NotRequired[str]
    filter: NotRequired[str]
    slow: Annotated[str | None, Field(description="What it asked for: `conflate` or `disconnect`.")]
    state: Literal["front", "catching-up", "full"]
    bytes_waiting: Annotated[int, Field(description="Written, and not taken by its socket yet.")]
    since: str
    full_since: str | None
    offset: str
    lag_events: int


class FollowerList(TypedDict):
    """Those who follow from one process, those with the most bytes waiting first."""

    followers: list[FollowerRow]
    total: int
    bytes_waiting: int


def answer(request: web.Request, fan_outs: Iterable[FanOut]) -> web.Response:
    """The followers, of `feed` only or `slow=true` ones only where asked. Raises `Problem` 400."""
    query = request.query
    limit = number("limit", query.get("limit"), DEFAULT_LIMIT, MOST_LIMIT)
    slow_only = query.get("slow", "false")
    if slow_only not in ("true", "false"):
        raise wrong("slow", "is true or false")
    found = [
        (waiting_bytes(follower), fan_out, follower, state)
        for fan_out in fan_outs
        if query.get("feed") in (None, fan_out.log.entry.feed.name)
        for follower, state in fan_out.followers()
        if state == "full" or slow_only == "false"
    ]
    found.sort(key=lambda row: row[0], reverse=True)
    body = {
        "followers": [_row(*row) for row in found[:limit]],
        "total": len(found),
        "bytes_waiting": sum(row[0] for row in found),
    }
    return web.Response(body=orjson.dumps(body), content_type="application/json", headers={"Cache-Control": "no-store"})


def waiting_bytes(follower: Follower) -> int:
    """Bytes that were written to a follower and did not leave the process yet."""
    return 0 if follower.transport is None else follower.transport.get_write_buffer_size()


def _row(waiting: int, fan_out: FanOut, follower: Follower, state: str) -> dict[str, Any]:
    log = fan_out.log
    peer = None if follower.transport is None else follower.transport.get_extra_info("peername")
    return {
        "address": f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else None,
        "feed": log.entry.feed.name,
        "mode": fan_out.mode,
        **log.selection.parameters(),
        "slow": None if follower.slow is None else follower.slow.value,
        "state": state,
        "bytes_waiting": waiting,
        "since": rfc3339(int(follower.since_s * 1000)),
        "full_since": rfc3339(int(follower.full_since_s * 1000)) if state == "full" and follower.full else None,
        "offset": log.feed_log.token(follower.position),
        "lag_events": sum(log.tail) - sum(follower.position),
    }
