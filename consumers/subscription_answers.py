"""What is told of subscriptions, as types."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from headrace.consumers.relay.definition import Mode, State
from headrace.consumers.relay.options import Options

Secret = Annotated[
    str, Field(description="What receivers verify with: `whsec_` and a secret, or `whpk_` and a public key.")
]


class BasicOutline(TypedDict):
    """Basic authentication, without the password."""

    type: Literal["basic"]
    username: str


class BearerOutline(TypedDict):
    """A bearer token, which is not shown."""

    type: Literal["bearer"]


class ClientCredentialsOutline(TypedDict):
    """OAuth 2.0 client credentials, without the secret."""

    type: Literal["oauth2"]
    token_url: str
    client_id: str
    scope: str


class TlsOutline(TypedDict):
    """Which parts of a TLS identity are there."""

    ca: bool
    certificate: bool
    key: bool


def _says_all(schema: dict[str, Any]) -> None:
    """What may be left out of a request is there in an answer, but for a few."""
    schema["required"] = [name for name in schema["properties"] if name not in ("secret", "waits_for")]


class ShownSubscription(Options):
    """A subscription without its secrets."""

    model_config = ConfigDict(extra="ignore", json_schema_extra=_says_all)

    id: str
    feed: str
    url: str | None = Field(description="Where its events are posted; null where it was never pushed.")
    mode: Mode
    state: State
    reason: str = Field(description="Why it is disabled.")
    start: str = Field(description="The offset at which it began.")
    created: str
    updated: str
    version: int = Field(description="Counts its changes; `ETag` names it.", ge=1)
    granted_per_min: int | None = Field(description="The requests a minute that its endpoint allowed when asked.")
    auth: BasicOutline | BearerOutline | ClientCredentialsOutline | None
    headers: list[str] = Field(description="Names of the further headers.")
    tls: TlsOutline | None


class MadeSubscription(ShownSubscription):
    """A subscription and, where a key was made for it, what receivers verify with: shown once."""

    secret: Secret = Field("", description="Not there where no key was made.")


class Breaker(TypedDict):
    """Whether the endpoint is sent to."""

    state: Literal["closed", "open", "half_open"]
    failing_since: str | None
    next_probe: str | None
    paused_until: str | None


class Status(TypedDict):
    """How a subscription stands at its owner."""

    owner: NotRequired[Annotated[str, Field(description="The address of the relay that runs it.")]]
    offset: Annotated[str, Field(description="Below it all is done, parked or leased.")]
    epoch: Annotated[int, Field(description="Raised by every seek.")]
    lag: Annotated[int, Field(description="Events of the feed that are not done, counted in offsets.")]
    in_flight: Annotated[int, Field(description="Requests under way, or events leased.")]
    max_in_flight_now: NotRequired[Annotated[int, Field(description="Of a webhook: as its endpoint takes it now.")]]
    workers_waiting: NotRequired[Annotated[int, Field(description="Of a pull subscription: calls that wait.")]]
    parked: Annotated[int, Field(description="Events that wait for their retry.")]
    delivered: int
    failed: int
    hours_until_loss: Annotated[float | None, Field(description="Until the log drops what is not done.")]
    last_error: str | None
    breaker: Annotated[Breaker | None, Field(description="Of a webhook.")]


class SubscriptionNow(ShownSubscription):
    """A subscription and how it stands."""

    status: Status | None = Field(description="Null while no relay runs it: then it stands still.")
    waits_for: str = Field(
        "", description="What it stands still for, where it has a relay: its feed is not there, a stream was deleted."
    )


class SubscriptionList(TypedDict):
    """A page of subscriptions, the oldest first."""

    subscriptions: list[ShownSubscription]
    next_cursor: NotRequired[Annotated[str, Field(description="Where there are more: `cursor` of the next request.")]]


class RevealedSecret(TypedDict):
    """The current signing key."""

    id: str
    secret: Secret
