"""What may be done with a feed, as operations: AsyncAPI tells them from Headrace's side, so reading is to `send`."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from headrace.access.scopes import Action
from headrace.schemas.feed import Feed, holds_dead_letters

HTTP = "0.3.0"
"""The version of AsyncAPI's bindings for HTTP."""
Json = dict[str, Any]


def operations(feed: Feed, actions: Set[Action]) -> Json:
    """Those that a caller may do who may do `actions`."""
    found: Json = {}
    if Action.READ in actions:
        found[f"{feed.name}.read"] = _operation(
            feed, "send", "GET", "Read the events: by page, long poll, server-sent events or WebSocket."
        )
    if Action.PUBLISH in actions and not holds_dead_letters(feed.name):
        found[f"{feed.name}.write"] = _operation(feed, "receive", "POST", "Write events; answered once Kafka has them.")
    return found


def _operation(feed: Feed, action: str, method: str, summary: str) -> Json:
    channel = {"$ref": f"#/channels/{feed.name}"}
    return {
        "action": action,
        "channel": channel,
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{feed.name}/messages/cloudEvent"}],
        "bindings": {"http": {"method": method, "bindingVersion": HTTP}},
    }
