"""What is asked for with `POST /v1/tokens`, checked."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from headrace.access.query_token import MAX_TTL_S

SCOPE = {"type": "string", "pattern": r"^(read|subscribe):[!#-\[\]-~]{1,249}$"}
"""One that a browser may have; a wrong one is told in more words than a pattern can say."""


class TokenRequest(BaseModel):
    """The body of `POST /v1/tokens`."""

    model_config = ConfigDict(extra="forbid")

    scopes: Annotated[
        list[Annotated[str, WithJsonSchema(SCOPE)]],
        Field(min_length=1, max_length=50, description="`read:` or `subscribe:` with a pattern of feeds."),
    ]
    ttl_s: Annotated[float, Field(ge=1, le=MAX_TTL_S, description="How long it lasts, in seconds.")] = 60.0
