"""What is to be said of a route besides its code: one `Operation`, beside the group that the route belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from headrace.openapi.tags import Tag

JSON = "application/json"
ANY = "*/*"
"""Every media type that is not named beside it."""

JsonSchema = Mapping[str, Any]
Shape = Any
"""A type of the code (a pydantic model, a `TypedDict`, `list[...]`), or a JSON Schema as a dict."""

TEXT: JsonSchema = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the query, the path or a header. `description` is Markdown, as all descriptions are."""

    name: str
    description: str
    schema: JsonSchema = field(default_factory=lambda: TEXT)
    place: Literal["query", "path", "header"] = "query"
    example: Any = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """A body in one media type. `examples` are complete bodies by a name for each; sent as they are, they work."""

    shape: Shape
    examples: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no problem: its body by media type, and what its headers say by their names."""

    description: str
    content: Mapping[str, Content] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One route, for its callers.

    `path` is the route's pattern as aiohttp has it. `name` is unique, and what generated clients call their method.
    `body` is by media type. `problems` says for each status of a problem when it is answered; those of access (401,
    403, 429) and 500 are not among them: they are the same for all. `problem_headers` are what the headers of problems
    say, by status, besides `Retry-After`.
    """

    method: str
    path: str
    name: str
    tag: Tag
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Content] = field(default_factory=dict)
    body_is_required: bool = True
    problems: Mapping[int, str] = field(default_factory=dict)
    problem_headers: Mapping[int, Mapping[str, str]] = field(default_factory=dict)


def answer(description: str, shape: Shape, example: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    examples = {} if example is None else {"example": example}
    return Answer(description, {JSON: Content(shape, examples)}, headers or {})


def whole_number(least: int, most: int | None = None, default: int | None = None) -> JsonSchema:
    """The schema of a whole number."""
    bounds = {"minimum": least, "maximum": most, "default": default}
    return {"type": "integer", **{name: value for name, value in bounds.items() if value is not None}}


def one_of(values: Sequence[str], default: str | None = None) -> JsonSchema:
    """The schema of one of a few words."""
    return {"type": "string", "enum": list(values), **({} if default is None else {"default": default})}
