"""What may be chosen of a subscription besides its feed, mode and URL: checked here, kept in its definition."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, field_validator, model_validator

from headrace.consumers.checked import WHOLE
from headrace.consumers.filter.projection import MAX_FIELDS, Projection
from headrace.consumers.filter.text import FilterText

Ordering = Literal["none", "key"]
ContentMode = Literal["structured", "binary", "data"]

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, StringConstraints(max_length=255)]
EventType = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
WaitS = Annotated[float, Field(gt=0, le=7 * 86_400)]

PROJECTION = {
    "anyOf": [
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_FIELDS},
        {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1, "maxProperties": MAX_FIELDS},
        {"type": "null"},
    ]
}

MAX_LABELS = 64
MAX_TYPES = 1000
MAX_RETRIES = 50
MAX_LEASE_S = 43_200.0


class Batching(BaseModel):
    """Several events in one POST: when so many are there, or the first has waited so long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_events: Annotated[int, Field(ge=1, le=1000), WHOLE] = 1
    max_wait_ms: Annotated[int, Field(ge=0, le=60_000), WHOLE] = 0


class Options(BaseModel):
    """How a subscription behaves; None is the relay's own setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: Annotated[str, StringConstraints(max_length=1000)] = Field("", description="For people.")
    labels: dict[Label, LabelValue] = Field(
        default_factory=dict, max_length=MAX_LABELS, description="For people, and to list by."
    )
    types: tuple[EventType, ...] = Field(
        (), max_length=MAX_TYPES, description="Only events of these types; all where it is empty."
    )
    filter: FilterText | None = Field(None, description="Only events for which this expression in CEL is true.")
    projection: Annotated[Any, WithJsonSchema(PROJECTION)] = Field(
        None, description="Fields of the data to pick, `data.tailnum`, or by new names."
    )
    ordering: Ordering = Field(
        "none", description="`key`: an event waits for the one before it of its key; `none`: for nothing."
    )
    max_in_flight: Annotated[int, Field(ge=1, le=1000), WHOLE] | None = Field(
        None, description="Most requests at a time."
    )
    rate_limit_per_s: float | None = Field(None, gt=0, le=1_000_000, description="Most requests a second.")
    batch: Batching = Field(default_factory=Batching, description="Several events in one request.")
    content_mode: ContentMode = Field(
        "structured", description="What is posted: CloudEvents in JSON, or in headers, or just the data."
    )
    retry_s: tuple[WaitS, ...] | None = Field(
        None, max_length=MAX_RETRIES, description="Waits between the attempts of an event, in seconds."
    )
    failures_to_open: Annotated[int, Field(ge=1, le=100_000), WHOLE] | None = Field(
        None, description="So many failures in a row stop delivery until a probe succeeds."
    )
    disable_after_s: float | None = Field(
        None, gt=0, le=366 * 86_400, description="Disabled after so long without a success."
    )
    lease_s: float = Field(30.0, ge=0.1, le=MAX_LEASE_S, description="How long a worker has an event, in seconds.")
    max_deliveries: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(
        16, description="How often an event is leased before it becomes a dead letter."
    )

    @model_validator(mode="after")
    def _can_be_batched(self) -> Self:
        if self.content_mode == "binary" and self.batch.max_events > 1:
            raise ValueError("CloudEvents has no batch in binary mode: use structured, or data, or max_events 1")
        return self

    @field_validator("projection")
    @classmethod
    def _is_a_projection(cls, value: Any) -> Any:
        if value is not None:
            Projection.parse(value)
        return value
