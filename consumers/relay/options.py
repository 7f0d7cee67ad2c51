"""What may be chosen of a subscription besides its feed, mode and URL: checked here, kept in its definition."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from headrace.consumers.filter.projection import Projection
from headrace.consumers.filter.text import FilterText

Ordering = Literal["none", "key"]
ContentMode = Literal["structured", "binary", "data"]

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, StringConstraints(max_length=255)]
EventType = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
WaitS = Annotated[float, Field(gt=0, le=7 * 86_400)]

MAX_LABELS = 64
MAX_TYPES = 1000
MAX_RETRIES = 50
MAX_LEASE_S = 43_200.0


class Batching(BaseModel):
    """Several events in one POST: when so many are there, or the first has waited so long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_events: int = Field(1, ge=1, le=1000)
    max_wait_ms: int = Field(0, ge=0, le=60_000)


class Options(BaseModel):
    """How a subscription behaves; None is the relay's own setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: Annotated[str, StringConstraints(max_length=1000)] = ""
    labels: dict[Label, LabelValue] = Field(default_factory=dict, max_length=MAX_LABELS)
    types: tuple[EventType, ...] = Field((), max_length=MAX_TYPES)
    filter: FilterText | None = None
    projection: Any = None
    ordering: Ordering = "none"
    max_in_flight: int | None = Field(None, ge=1, le=1000)
    rate_limit_per_s: float | None = Field(None, gt=0, le=1_000_000)
    batch: Batching = Field(default_factory=Batching)
    content_mode: ContentMode = "structured"
    retry_s: tuple[WaitS, ...] | None = Field(None, max_length=MAX_RETRIES)
    failures_to_open: int | None = Field(None, ge=1, le=100_000)
    disable_after_s: float | None = Field(None, gt=0, le=366 * 86_400)
    lease_s: float = Field(30.0, ge=0.1, le=MAX_LEASE_S)
    max_deliveries: int = Field(16, ge=1, le=1000)

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
