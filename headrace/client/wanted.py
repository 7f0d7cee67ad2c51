"""What a reader may choose: which events of a feed, how many at a time, and how it follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

Transport = Literal["long-poll", "sse", "websocket"]
"""How a reader follows once it has all there is: by long polls, server-sent events, or `headrace.v1` on a WebSocket."""

Slow = Literal["conflate", "disconnect"]
"""What becomes of one that takes server-sent events slower than they come: the latest of each key, or sent away."""


class Wanted(TypedDict, total=False):
    """Which events, and how many bytes of them a page may have.

    An event has to match the `filter` (CEL), have the `key`, and lie in the `partition`, of those that are given.
    """

    filter: str
    key: str
    partition: int
    max_bytes: int


def selection(wanted: Wanted) -> dict[str, Any]:
    """Which events, without how many bytes."""
    return {name: value for name, value in wanted.items() if name != "max_bytes" and value is not None}


def query(wanted: Mapping[str, Any]) -> dict[str, str]:
    """What is given, as it stands in a query."""
    return {name: str(value) for name, value in wanted.items() if value is not None}
