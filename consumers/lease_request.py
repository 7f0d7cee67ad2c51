"""What workers ask of a pull subscription over HTTP, checked."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from headrace.consumers.checked import WHOLE
from headrace.consumers.relay.options import MAX_LEASE_S
from headrace.consumers.subscription_request import MAX_WAIT_S

MOST_EVENTS = 10_000
MAX_DELAY_S = 7 * 86_400

AckIds = Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(min_length=1, max_length=MOST_EVENTS)]
LeaseS = Annotated[float, Field(ge=0.1, le=MAX_LEASE_S)]


class Lease(BaseModel):
    """Events for one worker; `lease_s` is the subscription's where it is None."""

    model_config = ConfigDict(extra="forbid")

    max_events: Annotated[int, Field(ge=1, le=MOST_EVENTS), WHOLE] = Field(1, description="Most events of the call.")
    wait_s: float = Field(0.0, ge=0, le=MAX_WAIT_S, description="How long to wait for the first one, in seconds.")
    lease_s: LeaseS | None = Field(None, description="How long the worker has them; as the subscription says.")


class Acknowledge(BaseModel):
    """Events by their ack ids were dealt with, or all below a position."""

    model_config = ConfigDict(extra="forbid")

    offset: str | None = Field(None, description="All below it is done: a `Stream-Next-Offset`.")
    ack_ids: AckIds | None = Field(None, description="These are done.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.offset is None) == (self.ack_ids is None):
            raise ValueError("say ack_ids, or an offset below which all was taken")
        return self


class Nack(BaseModel):
    """Events are given back, to be leased again after a delay."""

    model_config = ConfigDict(extra="forbid")

    ack_ids: AckIds
    delay_s: float = Field(0.0, ge=0, le=MAX_DELAY_S, description="Not to be leased again before, in seconds.")


class Extend(BaseModel):
    """The leases of events end so long from now; `lease_s` is the subscription's where it is None."""

    model_config = ConfigDict(extra="forbid")

    ack_ids: AckIds
    lease_s: LeaseS | None = Field(None, description="From now on, in seconds; as the subscription says.")
