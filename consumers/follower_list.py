"""`GET /v1/followers`: who follows live from this process, the slowest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, NotRequired

import orjson
from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from headrace.consumers.follower import Follower
from headrace.consumers.following import Following, State
from headrace.consumers.parameters import number, wrong
from headrace.schemas.event import rfc3339

DEFAULT_LIMIT = 100
MOST_LIMIT = 10_000


class FollowerRow(TypedDict):
    """One who follows live."""

    address: Annotated[str | None, Field(description="Behind a proxy, the proxy's.")]
    feed: str
    mode: str
    subscription: NotRequired[Annotated[str, Field(description="Its id on its socket, of one by `headrace.v1`.")]]
    partition: NotRequired[str]
    key: NotRequired[str]
    filter: NotRequired[str]
    slow: Annotated[str | None, Field(description="What it asked for: `conflate` or `disconnect`.")]
    state: State
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


def answer(request: web.Request, following: Iterable[Following]) -> web.Response:
    """The followers, of `feed` only or `slow=true` ones only where asked. Raises `Problem` 400."""
    query = request.query
    limit = number("limit", query.get("limit"), DEFAULT_LIMIT, MOST_LIMIT)
    slow_only = query.get("slow", "false")
    if slow_only not in ("true", "false"):
        raise wrong("slow", "is true or false")
    found = [
        one for one in following if query.get("feed") in (None, one.feed) and (one.is_slow or slow_only == "false")
    ]
    found.sort(key=lambda one: waiting_bytes(one.connection), reverse=True)
    body = {
        "followers": [_row(one) for one in found[:limit]],
        "total": len(found),
        # Several may share a connection, whose bytes wait once.
        "bytes_waiting": sum(map(waiting_bytes, {one.connection for one in found})),
    }
    return web.Response(body=orjson.dumps(body), content_type="application/json", headers={"Cache-Control": "no-store"})


def waiting_bytes(follower: Follower) -> int:
    """Bytes that were written to a follower and did not leave the process yet."""
    return 0 if follower.transport is None else follower.transport.get_write_buffer_size()


def _row(one: Following) -> dict[str, Any]:
    log, connection = one.log, one.connection
    peer = None if connection.transport is None else connection.transport.get_extra_info("peername")
    is_full = one.state == "full" and connection.full
    return {
        "address": f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else None,
        "feed": one.feed,
        "mode": one.mode,
        **({} if one.subscription is None else {"subscription": one.subscription}),
        **log.selection.parameters(),
        "slow": None if connection.slow is None else connection.slow.value,
        "state": one.state,
        "bytes_waiting": waiting_bytes(connection),
        "since": _time(one.since_s),
        "full_since": _time(connection.full_since_s) if is_full else None,
        "offset": log.feed_log.token(one.position),
        "lag_events": sum(log.tail) - sum(one.position),
    }


def _time(at_s: float) -> str:
    return rfc3339(int(at_s * 1000))
