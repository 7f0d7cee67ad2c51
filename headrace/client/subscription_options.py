"""What may be chosen of a subscription: the keyword arguments that make one, and the members of a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

Ordering = Literal["none", "key"]
Mode = Literal["webhook", "pull"]
ContentMode = Literal["structured", "binary", "data"]
Signing = Literal["hmac", "ed25519"]


class Batch(TypedDict, total=False):
    """Several events in one POST: when `max_events` are there, or the first has waited `max_wait_ms`."""

    max_events: int
    max_wait_ms: int


class Basic(TypedDict):
    """RFC 7617."""

    type: Literal["basic"]
    username: str
    password: str


class Bearer(TypedDict):
    """RFC 6750: a token that does not change."""

    type: Literal["bearer"]
    token: str


class ClientCredentials(TypedDict):
    """OAuth 2.0 client credentials (RFC 6749, section 4.4)."""

    type: Literal["oauth2"]
    token_url: str
    client_id: str
    client_secret: str
    scope: NotRequired[str]


class Tls(TypedDict, total=False):
    """What the endpoint's certificate is checked by, and what it is shown: all PEM."""

    ca: str
    certificate: str
    key: str


class Options(TypedDict, total=False):
    """All of it; what is left out is as the relay's settings say.

    `types` and `filter` (CEL, over the CloudEvent) say which events are pushed, `projection` which fields of their
    data: a list of paths such as `data.tailnum`, or an object of new names and paths. With `ordering` `key` an event
    waits while an earlier one of its key has not been taken. `retry_s` are the waits between the attempts of an event.
    `failures_to_open` failures in a row stop pushing until a probe succeeds; after `disable_after_s` without a success
    the subscription is disabled. `auth`, `headers` and `tls` let it in at its endpoint: they are never shown again.
    Where it is pulled from, a worker has an event for `lease_s` unless it says otherwise, and after `max_deliveries`
    the event becomes a dead letter.
    """

    description: str
    labels: Mapping[str, str]
    types: Sequence[str]
    filter: str | None
    projection: Mapping[str, str] | Sequence[str] | None
    ordering: Ordering
    max_in_flight: int | None
    rate_limit_per_s: float | None
    batch: Batch
    content_mode: ContentMode
    retry_s: Sequence[float] | None
    failures_to_open: int | None
    disable_after_s: float | None
    lease_s: float
    max_deliveries: int
    auth: Basic | Bearer | ClientCredentials | None
    headers: Mapping[str, str]
    tls: Tls | None


Changes = Mapping[str, Any]
"""A JSON merge patch (RFC 7396): `url` and any of `Options`; None takes a member back to its default."""
