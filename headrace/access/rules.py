"""Which route needs which action, on which feed: all of it. What is not here is refused where access is not open."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from aiohttp import web

from headrace.access.scopes import Action


class On(enum.Enum):
    """Which feed an action is on."""

    PATH = "the feed in the path: checked before the handler"
    HANDLER = "the feed in the body, or of the subscription: the handler asks `principal_of(request).require`"
    SEEN = "any feed: the answer shows only what the principal may do something with"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route needs. `action` None with `SEEN` is any credential; `free` needs none at all."""

    action: Action | None = None
    on: On = On.SEEN
    free: bool = False


FREE = Rule(free=True)
ANY = Rule()
READ = Rule(Action.READ, On.PATH)
PUBLISH = Rule(Action.PUBLISH, On.PATH)
MANAGE = Rule(Action.ADMIN, On.PATH)
SUBSCRIBE = Rule(Action.SUBSCRIBE, On.HANDLER)
ADMIN = Rule(Action.ADMIN, On.HANDLER)

RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/healthz"): FREE,
    ("GET", "/readyz"): FREE,
    ("GET", "/metrics"): FREE,
    ("GET", "/openapi.json"): FREE,
    ("GET", "/docs"): FREE,
    ("GET", "/asyncapi.json"): ANY,
    ("POST", "/v1/tokens"): ANY,
    ("GET", "/v1/feeds"): ANY,
    ("GET", "/v1/followers"): ADMIN,
    ("GET", "/v1/feeds/{feed}"): READ,
    ("GET", "/v1/feeds/{feed}/events"): READ,
    ("POST", "/v1/feeds/{feed}/events"): PUBLISH,
    ("PUT", "/v1/feeds/{feed}/events"): MANAGE,
    ("DELETE", "/v1/feeds/{feed}/events"): MANAGE,
    ("GET", "/v1/stream/{feed}"): READ,
    ("POST", "/v1/stream/{feed}"): PUBLISH,
    ("PUT", "/v1/stream/{feed}"): MANAGE,
    ("DELETE", "/v1/stream/{feed}"): MANAGE,
    ("POST", "/v1/subscriptions"): SUBSCRIBE,
    ("GET", "/v1/subscriptions"): SUBSCRIBE,
    ("GET", "/v1/subscriptions/{id}"): SUBSCRIBE,
    ("PATCH", "/v1/subscriptions/{id}"): SUBSCRIBE,
    ("DELETE", "/v1/subscriptions/{id}"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/pause"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/disable"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/resume"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/secret/rotate"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/secret/reveal"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/seek"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/test"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/redeliver"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/ack"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/lease"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/nack"): SUBSCRIBE,
    ("POST", "/v1/subscriptions/{id}/extend"): SUBSCRIBE,
    ("GET", "/v1/subscriptions/{id}/snapshots"): SUBSCRIBE,
    ("GET", "/v1/subscriptions/{id}/snapshots/{name}"): SUBSCRIBE,
    ("PUT", "/v1/subscriptions/{id}/snapshots/{name}"): SUBSCRIBE,
    ("DELETE", "/v1/subscriptions/{id}/snapshots/{name}"): SUBSCRIBE,
    ("GET", "/v1/subscriptions/{id}/undelivered"): SUBSCRIBE,
    ("GET", "/v1/subscriptions/{id}/events"): SUBSCRIBE,
    ("GET", "/v1/subscriptions/{id}/attempts"): SUBSCRIBE,
}

FEED_PARAMETER = "feed"


def is_free(path: str) -> bool:
    """Whether a path has a route that needs nothing: then it is no secret which methods it has."""
    return any(rule.free and known == path for (_, known), rule in RULES.items())


def rule_of(method: str, resource: web.AbstractResource | None) -> Rule | None:
    """The rule of a route. None where there is none, or no such route."""
    return None if resource is None else rule_at(method, resource.canonical)


def rule_at(method: str, path: str) -> Rule | None:
    """The rule of a route by its pattern; that of GET stands for HEAD, too."""
    return RULES.get(("GET" if method == "HEAD" else method, path))
