"""Query parameters as values; what is wrong is told as a `Problem` that names the parameter."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TypeVar

from headrace.consumers.filter.expression import Filter, InvalidFilter
from headrace.http.problems import Problem

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_DIGITS = 18

E = TypeVar("E", bound=enum.Enum)


def number(name: str, text: str | None, default: int, most: int, least: int = 1) -> int:
    """A whole number; `default` where there is none."""
    if text is None:
        return default
    if not is_number(text) or not least <= int(text) <= most:
        raise wrong(name, f"is a number from {least} to {most}")
    return int(text)


def is_number(text: str) -> bool:
    """Whether a text is a whole number of a length that can be one."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def choice(name: str, text: str | None, kind: type[E]) -> E | None:
    """One of the values of an enumeration."""
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise wrong(name, f"is {' or '.join(str(member.value) for member in kind)}") from None


def time_ms(name: str, text: str | None) -> int | None:
    """An RFC 3339 time as milliseconds since 1970."""
    if text is None:
        return None
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise wrong(name, "is an RFC 3339 time such as 2013-01-01T05:00:00Z") from None
    if moment.tzinfo is None:
        raise wrong(name, "needs its offset from UTC, such as Z")
    # Rounded up, so that nothing is older than what was asked for. Kafka has other uses for negative times.
    return max(0, -((EPOCH - moment) // timedelta(milliseconds=1)))


def filter_of(name: str, text: str | None) -> Filter | None:
    """A filter in CEL."""
    if text is None:
        return None
    try:
        return Filter.parse(text)
    except InvalidFilter as error:
        raise wrong(name, f"is not a filter: {error}") from None


def wrong(name: str, detail: str) -> Problem:
    """400 that names the parameter."""
    return Problem(HTTPStatus.BAD_REQUEST, f"{name} {detail}.", parameter=name)
