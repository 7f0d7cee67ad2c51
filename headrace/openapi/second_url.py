"""The two URLs of a feed's events: what is said of a route under one of them holds under the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from headrace.openapi.operation import Content, Operation, Parameter
from headrace.openapi.parameters import FEED
from headrace.openapi.tags import Tag

EVENTS_URL = "/v1/feeds/{feed}/events"
STREAM_URL = "/v1/stream/{feed}"
"""The one that clients of Durable Streams take."""

STREAM_EXAMPLE = "chat-1"


def under_second_url(operation: Operation, name: str, body: Mapping[str, Content] | None = None) -> Operation:
    """The same route under the other URL, where it is called `name`; `body` has the examples that work there."""
    is_of_streams = operation.path == EVENTS_URL
    return replace(
        operation,
        path=STREAM_URL if is_of_streams else EVENTS_URL,
        name=name,
        tag=Tag.STREAMS if is_of_streams else Tag.WRITING,
        description=f"The same as `{operation.name}`: a feed's events have two URLs.",
        parameters=_of_streams(operation.parameters) if is_of_streams else operation.parameters,
        body=operation.body if body is None else body,
    )


def _of_streams(parameters: Sequence[Parameter]) -> list[Parameter]:
    """With a stream for an example, and none of what only suits the events of another feed."""
    return [replace(one, example=STREAM_EXAMPLE if one is FEED else None) for one in parameters]
