"""Requests as pydantic models: what is wrong is told as a `Problem` with a JSON Pointer for each fault."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ValidationError

from headrace.http.problems import Problem

M = TypeVar("M", bound=BaseModel)

NO_TIME = "is not a date and time in RFC 3339, such as 2013-01-01T05:00:00Z"


def _written_out(value: Any) -> Any:
    """A time from its text; pydantic would take numbers, too: seconds or milliseconds, by their size."""
    if not isinstance(value, str):
        raise ValueError(NO_TIME)
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError(NO_TIME) from None


def whole(value: Any) -> Any:
    """To JSON 5.0 is the same number as 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(whole)
"""For whole numbers, behind their bounds."""
Time = Annotated[AwareDatetime, BeforeValidator(_written_out)]


def checked(model: type[M], body: bytes) -> M:
    """The request in a body; raises `Problem` 400 with a pointer for each fault."""
    with faults_told():
        return model.model_validate_json(body or b"{}", strict=True)


def checked_query(model: type[M], query: Mapping[str, str]) -> M:
    """The request in a query, where numbers are text; raises as `checked` does."""
    with faults_told():
        return model.model_validate(dict(query))


@contextlib.contextmanager
def faults_told() -> Iterator[None]:
    """Raise `Problem` 400 for what a model does not take."""
    try:
        yield
    except ValidationError as error:
        errors = [
            {"pointer": _pointer(e["loc"]), "detail": e["msg"]}
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise Problem(HTTPStatus.BAD_REQUEST, "The request does not fit; see errors.", errors=errors) from None


def _pointer(place: tuple[int | str, ...]) -> str:
    """The JSON Pointer (RFC 6901) of a fault: without the names that pydantic adds to say which kind it took."""
    kinds = ("basic", "bearer", "oauth2") if place[:1] == ("auth",) else ()
    parts = [str(part) for at, part in enumerate(place) if part != "[key]" and not (at == 1 and part in kinds)]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
