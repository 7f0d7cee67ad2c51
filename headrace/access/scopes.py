"""Scopes: an action on the feeds whose names fit a pattern, such as `read:flights.*`."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_WILDCARDS = 3
"""Matching stays quick whatever somebody asks a token for."""

SCOPE = re.compile(r"(publish|read|subscribe|admin):([!#-\[\]-~]{1,249})")
"""The characters are those of a scope in OAuth 2.0 (RFC 6749 appendix A.4), the length that of a topic's name."""


class Action(enum.StrEnum):
    """What is done with a feed. `admin` makes and deletes it, and includes the other three."""

    PUBLISH = "publish"
    READ = "read"
    SUBSCRIBE = "subscribe"
    ADMIN = "admin"


class InvalidScope(ValueError):
    """The text is no scope; it says what one looks like."""


@dataclass(frozen=True, slots=True)
class Scope:
    """An action and a pattern, in which `*` stands for any characters, dots included."""

    action: Action
    pattern: str
    _expression: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        literal = map(re.escape, self.pattern.split("*"))
        object.__setattr__(self, "_expression", re.compile(".*".join(literal), re.DOTALL))

    @classmethod
    def parse(cls, text: str) -> Scope:
        """The scope that a text says; raises `InvalidScope`."""
        match = SCOPE.fullmatch(text)
        if match is None or match[2].count("*") > MAX_WILDCARDS:
            raise InvalidScope(
                f"{text[:100]!r} is no scope: write publish, read, subscribe or admin, a colon, and the name of a feed "
                f"with at most {MAX_WILDCARDS} `*`, such as read:flights.*"
            )
        return cls(Action(match[1]), match[2])

    def allows(self, action: Action, feed: str) -> bool:
        """Whether it allows an action on a feed."""
        return self.action in (action, Action.ADMIN) and self._expression.fullmatch(feed) is not None

    def covers(self, other: Scope) -> bool:
        """Whether it allows all that another allows: a `*` of the other is met by a `*` of its own only."""
        return self.allows(other.action, other.pattern)

    def __str__(self) -> str:
        return f"{self.action}:{self.pattern}"


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """The scopes; raises `InvalidScope` for the first that is none."""
    return tuple(Scope.parse(text) for text in texts)
