"""What is told of deliveries to an endpoint, as types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict


class Trial(TypedDict):
    """How a test event was taken."""

    delivered: bool
    status: Annotated[int | None, Field(description="What the endpoint answered.")]
    seconds: float
    error: str | None
    answer: Annotated[str, Field(description="The beginning of its body.")]


class Redelivery(TypedDict):
    """How many events are delivered once more."""

    events: Annotated[int, Field(ge=0)]


class ParkedEvent(TypedDict):
    """An event that waits for its retry, or for its lease to end."""

    partition: int
    offset: int
    attempt: int
    next_attempt: str | None


class DeadLetter(TypedDict):
    """An event that is not tried again: it is on the feed `<feed>.dead`."""

    event_id: str
    partition: int
    offset: int
    reason: str
    attempts: int
    at: str


class Undelivered(TypedDict):
    """What was not delivered."""

    offset: str
    lag: int
    parked: list[ParkedEvent]
    dead_letters: list[DeadLetter]


class Attempt(TypedDict):
    """One request to an endpoint for one event."""

    subscription: str
    feed: str
    event_id: str
    partition: int
    offset: int
    attempt: int
    at: str
    outcome: Literal["done", "retry", "retry_short", "disable", "dead_letter"]
    status: int | None
    error_class: str | None
    error: str | None
    seconds: Annotated[dict[str, float], Field(description="`dns`, `connect`, `tls`, `first_byte` and `total`.")]
    answer: Annotated[str, Field(description="The beginning of the answer's body.")]
    next_attempt: str | None


class AttemptsPage(TypedDict):
    """Attempts in their order."""

    attempts: list[Attempt]
    next_offset: Annotated[str, Field(description="`offset` of the next request.")]
