"""What is told to those who pull from a subscription, as types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from headrace.schemas.cloud_event import CloudEvent


class Delivery(TypedDict):
    """A leased event."""

    ack_id: str
    delivery: Annotated[int, Field(description="How often it was leased, this time included.", ge=1)]
    event: CloudEvent


class Leased(TypedDict):
    """Events for one worker."""

    events: list[Delivery]


Refused = Annotated[
    dict[str, Literal["expired", "moved", "done", "unknown"]], Field(description="By ack id, why it was not taken.")
]


class Acked(TypedDict):
    """What became of an `ack` by ack ids."""

    acked: int
    refused: Refused


class Nacked(TypedDict):
    """What became of a `nack`."""

    nacked: int
    refused: Refused


class Extended(TypedDict):
    """What became of an `extend`."""

    extended: int
    refused: Refused


class Snapshot(TypedDict):
    """A position that has a name."""

    name: str
    offset: str
    at: Annotated[str, Field(description="When it was made.")]


class SnapshotList(TypedDict):
    """All snapshots of a subscription, by name."""

    snapshots: list[Snapshot]
