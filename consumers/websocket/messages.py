"""The frames of `headrace.v1` that a client sends, checked."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from headrace.consumers.filter.expression import Filter
from headrace.consumers.filter.text import FilterText
from headrace.consumers.read_request import MOST_PARTITION
from headrace.consumers.selection import Selection
from headrace.consumers.subscription_request import Start
from headrace.consumers.websocket.flow import DEFAULT_BYTES, DEFAULT_EVENTS, MOST
from headrace.http.problems import Problem

Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Amount = Annotated[int, Field(ge=0, le=MOST, strict=True)]


class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InitialCredit(_Frame):
    """What may be sent at first."""

    events: Amount = DEFAULT_EVENTS
    bytes: Amount = DEFAULT_BYTES


class Subscribe(Start):
    """Send the events of a feed, by default that of the URL, from an offset or a time, by default from now.

    Of one partition, with one key, or that a filter matches, where the client says so.
    """

    type: Literal["subscribe"]
    id: Id
    feed: str | None = None
    partition: Annotated[int, Field(ge=0, le=MOST_PARTITION, strict=True)] | None = None
    key: str | None = None
    filter: FilterText | None = None
    credit: InitialCredit = InitialCredit()

    @property
    def selection(self) -> Selection:
        """What of the feed is wanted."""
        return Selection(self.partition, self.key, None if self.filter is None else Filter.parse(self.filter))


class Unsubscribe(_Frame):
    """Send no more of a subscription."""

    type: Literal["unsubscribe"]
    id: Id


class Grant(_Frame):
    """More may be sent."""

    type: Literal["credit"]
    id: Id
    events: Amount = 0
    bytes: Amount = 0


class PublishEvents(_Frame):
    """Write CloudEvents to a feed, or messages to a stream; by default to that of the URL."""

    type: Literal["publish"]
    id: Id
    feed: str | None = None
    events: list[Any] | None = None
    messages: Annotated[list[Any], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.events is None) is (self.messages is None):
            raise PydanticCustomError("one_of", "give events, or messages for a stream")
        return self


class Ping(_Frame):
    """Answer with `pong`: what a browser can do, which cannot send a ping of the protocol."""

    type: Literal["ping"]
    id: Id | None = None


Asked = Subscribe | Unsubscribe | Grant | PublishEvents | Ping
_ADAPTER: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="type")])


class Refused(Exception):
    """A message that is no frame of the protocol; `id` is the one it named, if any."""

    def __init__(self, problem: Problem, frame_id: str | None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.id = frame_id


def read_frame(message: bytes) -> Asked:
    """The frame in a text message; raises `Refused` (400) with a pointer for each fault."""
    try:
        value = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise Refused(Problem(HTTPStatus.BAD_REQUEST, f"The frame is not JSON: {error}."), None) from None
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        kind = value.get("type") if isinstance(value, dict) else None
        errors = [
            # Pydantic names the kind of frame it took before the member.
            {"pointer": "".join(f"/{part}" for part in e["loc"] if part != kind), "detail": e["msg"]}
            for e in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        named = value.get("id") if isinstance(value, dict) else None
        problem = Problem(HTTPStatus.BAD_REQUEST, "The frame does not fit; see errors.", errors=errors)
        raise Refused(problem, named if isinstance(named, str) else None) from None
