"""What is asked of subscriptions over HTTP, checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from headrace.consumers.checked import WHOLE, Time, faults_told, whole
from headrace.consumers.core.feed_log import TAIL, FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.read_request import MOST_PARTITION
from headrace.consumers.relay.credentials import Credentials
from headrace.consumers.relay.definition import Mode, Subscription
from headrace.consumers.relay.options import Options
from headrace.http.problems import Problem

MAX_OFFSET = 2**63 - 1
"""Kafka's own."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""What subscriptions and snapshots may be called."""
MAX_SNAPSHOTS = 100
"""Of one subscription."""

MAX_WAIT_S = 20.0
"""How long a call may wait for an event: less than a gateway waits for an owner's answer."""


class Start(BaseModel):
    """Where to start: an offset (`-1`, `now`, a token) or a time."""

    model_config = ConfigDict(extra="forbid")

    offset: str | None = Field(None, description="`-1` (the beginning), `now`, or a `Stream-Next-Offset`.")
    from_: Time | None = Field(None, alias="from", description="A time; the first event that is not older.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.offset is not None and self.from_ is not None:
            raise ValueError("say offset or from, not both")
        return self


class Wanted(Options, Credentials):
    """What can be chosen, and changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Field("webhook", description="Whether its events are posted to a URL, or leased by workers.")
    url: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        None, validate_default=True, description="Where they are posted; a webhook needs it."
    )

    @field_validator("url")
    @classmethod
    def _is_where_a_webhook_goes(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None and info.data.get("mode") == "webhook":
            raise ValueError("a webhook needs one: a string that begins with http; without it, say mode pull")
        return url

    def options(self) -> Options:
        """The part that may be shown."""
        return Options.model_construct(**{name: getattr(self, name) for name in Options.model_fields})

    def credentials(self) -> Credentials:
        """The part that is kept sealed."""
        return Credentials.model_construct(**{name: getattr(self, name) for name in Credentials.model_fields})


class Create(Start, Wanted):
    """A new subscription. `verify`: it is made only if the endpoint agrees (CloudEvents' webhook handshake)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feed: str = Field(description="The feed whose events it gets.")
    name: Annotated[str, StringConstraints(pattern=f"^{NAME}$")] | None = Field(
        None, description="What it is called, for good; one is made."
    )
    signing: Literal["hmac", "ed25519"] = Field("hmac", description="By a shared secret, or a public key.")
    verify: bool = Field(False, description="Ask the endpoint first, by CloudEvents' handshake.")


class Seek(Start):
    """Where to move: an offset, a time, or where the subscription was when a snapshot was made."""

    snapshot: str | None = Field(None, description="The name of a snapshot.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.snapshot is not None and (self.offset is not None or self.from_ is not None):
            raise ValueError("say snapshot, offset or from, not two of them")
        return self


class Resume(BaseModel):
    """Where a paused or disabled subscription goes on."""

    model_config = ConfigDict(extra="forbid")

    from_: Literal["stopped", "now"] = Field(
        "stopped", alias="from", description="Where it stopped, or now: what came meanwhile is left out."
    )


class Redeliver(Start):
    """What is to be delivered once more: one event, dead letters, or what lies between two times."""

    model_config = ConfigDict(extra="forbid")

    partition: Annotated[int, Field(ge=0, le=MOST_PARTITION), WHOLE] | None = Field(
        None, description="The partition of one event."
    )
    offset: str | Annotated[int, Field(ge=0, le=MAX_OFFSET)] | None = Field(  # type: ignore[assignment]
        None, description="The offset of one event in its partition, a number; or the token at which a range begins."
    )
    to: Time | None = Field(None, description="The end of a range; now where there is none.")
    dead_letters: bool = Field(False, description="What became a dead letter, all of it or since `from`.")

    _whole_offset = field_validator("offset", mode="before")(whole)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if isinstance(self.offset, int) != (self.partition is not None):
            raise ValueError("one event has a partition and an offset that is a number; a range begins at a token")
        if self.offset is None and self.from_ is None and not self.dead_letters:
            raise ValueError("say what: partition and offset, dead_letters, or from (and to)")
        return self


class Since(BaseModel):
    """From when on."""

    model_config = ConfigDict(extra="forbid")

    from_: Time | None = Field(None, alias="from", description="Only what is not older than this time.")


class Page(BaseModel):
    """How many, and how long to wait for the first, in seconds."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=10_000, description="Most events of the page.")
    wait: float = Field(0.0, ge=0, le=MAX_WAIT_S, description="How long to wait for the first one, in seconds.")


class Rotate(BaseModel):
    """A new signing key; the present one counts for `overlap_s` more, by default as the settings say."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: float | None = Field(
        None, ge=0, le=7 * 86_400, description="How long the present key signs, too; a day, or as the settings say."
    )
    signing: Literal["hmac", "ed25519"] | None = Field(None, description="The kind of the new key; as it is now.")


def patched(subscription: Subscription, body: bytes) -> tuple[Wanted, set[str]]:
    """What a JSON merge patch (RFC 7396) makes of a subscription, and the members of its credentials that it sets.

    Credentials are never shown, so those are set whole, or removed by null. Raises `Problem` 400.
    """
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"The body is not JSON: {error}.") from None
    if not isinstance(patch, dict):
        raise Problem(HTTPStatus.BAD_REQUEST, "A change is a JSON object with the members that change.")
    secret = {name: patch.pop(name) for name in Credentials.model_fields if name in patch}
    shown = {"mode": subscription.mode, "url": subscription.url, **subscription.options.model_dump(mode="json")}
    given = {name: value for name, value in secret.items() if value is not None}
    try:
        merged = orjson.dumps({**_merged(shown, patch), **given})
    except (RecursionError, orjson.JSONEncodeError):
        raise Problem(HTTPStatus.BAD_REQUEST, "The change is nested too deeply.") from None
    with faults_told():
        return Wanted.model_validate_json(merged, strict=True), set(secret)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


async def resolve(start: Start, feed_log: FeedLog) -> Position:
    """The position of a start, all of whose events are kept. Raises `MalformedPosition`, `PositionGone`."""
    position = await place_of(start, feed_log)
    await feed_log.check(position)
    return position


async def place_of(start: Start, feed_log: FeedLog) -> Position:
    """The position of a start; `now` where it says nothing. Raises `MalformedPosition`, `PositionGone`."""
    if start.from_ is not None:
        return await feed_log.at_time(milliseconds(start.from_))
    return await feed_log.resolve(TAIL if start.offset is None else start.offset)


def milliseconds(moment: datetime) -> int:
    """A time as Kafka has it, since 1970."""
    # Rounded up, so that nothing older comes; below 0 Kafka's numbers have other meanings.
    return max(-((EPOCH - moment) // timedelta(milliseconds=1)), 0)
