"""What is asked of subscriptions over HTTP, checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from headrace.consumers.core.feed_log import TAIL, FeedLog
from headrace.consumers.core.position import Position
from headrace.http.problems import Problem

M = TypeVar("M", bound=BaseModel)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Start(BaseModel):
    """Where to start: an offset (`-1`, `now`, a token) or a time."""

    model_config = ConfigDict(extra="forbid")

    offset: str | None = None
    from_: AwareDatetime | None = Field(None, alias="from")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.offset is not None and self.from_ is not None:
            raise ValueError("say offset or from, not both")
        return self


class Create(Start):
    """A new subscription."""

    feed: str
    url: Annotated[str, StringConstraints(max_length=2048)]
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None = None
    ordering: Literal["none", "key"] = "none"
    description: Annotated[str, StringConstraints(max_length=1000)] = ""


def checked(model: type[M], body: bytes) -> M:
    """The request in a body; raises `Problem` 400 with a pointer for each fault."""
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        errors = [
            {"pointer": "".join(f"/{part}" for part in e["loc"]), "detail": e["msg"]}
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise Problem(HTTPStatus.BAD_REQUEST, "The request does not fit; see errors.", errors=errors) from None


async def start_position(body: bytes, feed_log: FeedLog) -> Position:
    """The position that a seek asks for. Raises `Problem`, `MalformedPosition`, `PositionGone`."""
    start = checked(Start, body)
    if start.offset is None and start.from_ is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "Say where to: offset (-1, now, or a token) or from (a time).")
    return await resolve(start, feed_log)


async def resolve(start: Start, feed_log: FeedLog) -> Position:
    """The position of a start; `now` where it says nothing. Raises `MalformedPosition`, `PositionGone`."""
    if start.from_ is not None:
        return await feed_log.at_time(_ms(start.from_))
    position = await feed_log.resolve(TAIL if start.offset is None else start.offset)
    await feed_log.check(position)
    return position


def _ms(moment: datetime) -> int:
    # Rounded up, so that nothing older comes; below 0 Kafka's numbers have other meanings.
    return max(-((EPOCH - moment) // timedelta(milliseconds=1)), 0)
