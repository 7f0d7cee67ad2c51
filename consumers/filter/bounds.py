"""What a filter may hold, so that no expression can stop the process that evaluates it.

Measured with common-expression-language 0.10.0, which has no limits of its own and evaluates while nothing else runs:

- `map` and `filter` copy their list for every element (150 ms over 1,000 elements), comprehensions in one another take
  1.2 s there, and each use of a list copies it. So comprehensions are `all`, `exists` and `exists_one`, none within
  another, and what is asked of an element is asked of it alone: the time grows with the size of the event, not faster.
- `matches` compiles its pattern every time: `^N[0-9]+$` 25 µs, `\\w+` 1.3 ms, `\\w{200}` 210 ms. So the pattern is a
  literal, short, and without classes by letter and counted repetition; then 100 characters take at most 1 ms. Matching
  itself takes linear time.
- `+` joins texts and lists: many of them would take memory by the square of their number.
- A filter that reads too large a value does not match (`view.MAX_VALUES`).

What is left: a hostile filter of 2,000 characters over a hostile event can take some tens of milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import cel

from headrace.consumers.filter.fields import ATTRIBUTES, EXTENSIONS, Path, path_at
from headrace.consumers.filter.tokens import (
    CLOSING,
    OPENING,
    InvalidFilter,
    Token,
    Tokens,
    closing,
    is_operator,
    literal,
    split,
)

MAX_PATHS = 32
MAX_PLUS = 16
MAX_MATCHES = 4
MAX_PATTERN_CHARACTERS = 100

CONVERSIONS = frozenset({"size", "string", "int", "uint", "double", "bytes", "timestamp", "duration", "type", "dyn"})
PREDICATES = frozenset({"contains", "startsWith", "endsWith", "matches"})
COMPREHENSIONS = frozenset({"all", "exists", "exists_one", "existsOne"})
FUNCTIONS = CONVERSIONS | PREDICATES | COMPREHENSIONS | {"has"}
TYPES = frozenset({"bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type"})

_COSTLY = re.compile(r"\\[A-Za-z0-9]|(?<!\\)\{")


@dataclass(slots=True)
class _Brackets:
    element: str | None = None
    """The name that a comprehension gives to each element, within its parentheses."""


@dataclass(slots=True)
class _Seen:
    paths: set[Path] = field(default_factory=set)
    plus: int = 0
    matches: int = 0


def check(text: str, tokens: Tokens) -> set[Path]:
    """The paths that an expression reads; raises `InvalidFilter` where it holds what it may not."""
    seen, within, i = _Seen(), [_Brackets()], 0
    while i < len(tokens):
        token = tokens[i]
        if is_operator(token, *OPENING):
            within.append(_Brackets(within[-1].element))
        elif is_operator(token, *CLOSING):
            within.pop()
        elif is_operator(token, "+"):
            seen.plus += 1
            if seen.plus > MAX_PLUS:
                raise InvalidFilter.at(text, token.start, f"more than {MAX_PLUS} times +")
        elif token.kind == "name":
            i = _name(text, tokens, i, within, seen)
        i += 1
    return seen.paths


def _name(text: str, tokens: Tokens, i: int, within: list[_Brackets], seen: _Seen) -> int:
    """Check a name; returns the index of the last token that was taken with it."""
    token, following = tokens[i], tokens[i + 1] if i + 1 < len(tokens) else None
    element = within[-1].element
    if following and is_operator(following, "("):
        _function(text, token)
        if element is not None and (token.text == "matches" or token.text in COMPREHENSIONS):
            raise InvalidFilter.at(text, token.start, f"{token.text}() within a comprehension")
        if token.text == "matches":
            _pattern(text, tokens, i, seen)
        if token.text in COMPREHENSIONS:
            within.append(_Brackets(_element(text, tokens, i)))
            return i + 2
        return i
    if i and is_operator(tokens[i - 1], "."):
        if i > 1 and (tokens[i - 2].kind != "operator" or is_operator(tokens[i - 2], *CLOSING)):
            return i  # a member of what is in front of it
        raise InvalidFilter.at(text, tokens[i - 1].start, f"unknown name .{token.text}; write it without the dot")
    if following and is_operator(following, "{"):
        raise InvalidFilter.at(text, token.start, f"{token.text}{{}}: there are no message types")
    if token.text == element or token.text in TYPES:
        return i
    if element is not None:
        raise InvalidFilter.at(
            text,
            token.start,
            f"{token.text}: within a comprehension only its element, {element}, and literals are used",
        )
    if token.text not in ATTRIBUTES and token.text != EXTENSIONS:
        raise InvalidFilter.at(text, token.start, _unknown(token.text))
    path, end = path_at(tokens, i)
    seen.paths.add(path)
    if len(seen.paths) > MAX_PATHS:
        raise InvalidFilter.at(text, token.start, f"more than {MAX_PATHS} different fields")
    return end - 1


def _unknown(name: str) -> str:
    extension = f", an extension attribute is extensions.{name}" if name.islower() and name.isalnum() else ""
    return f"unknown name {name}: a field of the body is data.{name}{extension}"


def _function(text: str, token: Token) -> None:
    if token.text in ("map", "filter"):
        raise InvalidFilter.at(text, token.start, f"{token.text}() is not to be had: use exists(), all(), exists_one()")
    if token.text not in FUNCTIONS:
        raise InvalidFilter.at(text, token.start, f"unknown function {token.text}()")


def _element(text: str, tokens: Tokens, i: int) -> str:
    """The name that the comprehension at `i` gives to each element."""
    first, *conditions = split(tokens[i + 2 : closing(tokens, i + 1)], ",")
    if len(first) != 1 or first[0].kind != "name" or len(conditions) != 1:
        name = tokens[i].text
        raise InvalidFilter.at(text, tokens[i].start, f"{name}() is written list.{name}(element, condition)")
    return first[0].text


def _pattern(text: str, tokens: Tokens, i: int, seen: _Seen) -> None:
    start = tokens[i].start
    is_method = i > 0 and is_operator(tokens[i - 1], ".")
    if not (is_method and i + 3 < len(tokens) and tokens[i + 2].kind == "string" and is_operator(tokens[i + 3], ")")):
        raise InvalidFilter.at(text, start, "matches() is written text.matches('pattern'), with a literal pattern")
    seen.matches += 1
    if seen.matches > MAX_MATCHES:
        raise InvalidFilter.at(text, start, f"more than {MAX_MATCHES} times matches()")
    pattern = literal(tokens[i + 2 : i + 3])
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise InvalidFilter.at(text, start, f"a pattern of more than {MAX_PATTERN_CHARACTERS} characters")
    if _COSTLY.search(pattern):
        raise InvalidFilter.at(
            text, start, "a pattern has no classes by letter and no counted repetition: [0-9] for \\d, a+ for a{1,}"
        )
    try:
        cel.compile("''.matches(pattern)").execute({"pattern": pattern})
    except Exception as error:
        reason = str(error).split("\nerror: ")[-1].split(". ")[0]
        raise InvalidFilter.at(text, start, f"not a pattern: {reason}") from error
