"""Equalities that must hold for a filter to match, so that it can be looked up by the event's value.

Found are `path == literal`, `literal == path` and `path in [literals]`, alone or as terms of a conjunction. For a
conjunction to be true each of its terms must be; whatever else a term is, only evaluation tells.

A lookup must say what evaluation says. CEL compares integers with doubles by value and booleans with neither, as keys
do here; from 2⁵³ on it rounds integers to doubles, so there numbers are left to evaluation. A missing field, as in CEL,
is equal to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from headrace.consumers.filter.fields import Path, Source, find, path_at
from headrace.consumers.filter.tokens import Tokens, bare, closing, is_operator, literal, operators, split

Key = str | int | float | object
"""A value as a key of a lookup: texts and numbers are their own, booleans have objects of their own."""

_TRUE: Final = object()
_FALSE: Final = object()
_EXACT = 2**53

MAX_KEYS = 100
"""Of a filter with several `in`, the combinations of values under which it may be found; further terms are left out."""


@dataclass(frozen=True, slots=True)
class Equality:
    """The value at `path` must be one of `keys`."""

    path: Path
    keys: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Equalities:
    """All of `terms` must hold for a filter to match. With `decides` they are all that the filter says."""

    terms: tuple[Equality, ...]
    decides: bool

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths, in the order of their values in `combinations`."""
        return tuple(term.path for term in self.terms)

    def combinations(self) -> Iterable[tuple[Key, ...]]:
        """Every combination of values with which all terms hold."""
        return product(*(term.keys for term in self.terms))

    def hold(self, event: Source) -> bool:
        """Whether they do for this event."""
        return all(key(find(event, term.path)) in term.keys for term in self.terms)


def key(value: Any) -> Key | None:
    """The key of an event's value; None where it is equal to no literal."""
    if type(value) is str or type(value) is int or type(value) is float:
        return value
    if type(value) is bool:
        return _TRUE if value else _FALSE
    return None


def equalities(tokens: Tokens) -> Equalities | None:
    """The equalities in a valid expression, or None where it is to be evaluated."""
    terms: list[Equality] = []
    decides, combinations = True, 1
    for part in _conjunction(tokens):
        term = _equality(part)
        if term is None or (terms and combinations * len(term.keys) > MAX_KEYS):
            decides = False
        else:
            terms.append(term)
            combinations *= len(term.keys)
    return Equalities(tuple(terms), decides) if terms else None


def _conjunction(tokens: Tokens) -> list[Tokens]:
    tokens = bare(tokens)
    found = operators(tokens)
    if "&&" not in found or found & {"?", "||"}:
        return [tokens]
    return [part for term in split(tokens, "&&") for part in _conjunction(term)]


def _equality(tokens: Tokens) -> Equality | None:
    for operator in ("==", "in"):
        sides = split(tokens, operator)
        if len(sides) != 2:
            continue
        left, right = bare(sides[0]), bare(sides[1])
        if operator == "in":
            return _of(left, _members(right))
        return _of(left, [right]) or _of(right, [left])
    return None


def _members(tokens: Tokens) -> list[Tokens]:
    """The elements of a list; one that is no literal where it is none."""
    if not (tokens and is_operator(tokens[0], "[") and closing(tokens, 0) == len(tokens) - 1):
        return [()]
    return split(tokens[1:-1], ",") if len(tokens) > 2 else []


def _of(path: Tokens, literals: list[Tokens]) -> Equality | None:
    if not path or path[0].kind != "name" or path_at(path, 0)[1] != len(path):
        return None
    keys = [_literal_key(one) for one in literals]
    return None if None in keys else Equality(path_at(path, 0)[0], frozenset(k for k in keys if k is not None))


def _literal_key(tokens: Tokens) -> Key | None:
    number = tokens[1:] if len(tokens) > 1 and is_operator(tokens[0], "-") else tokens
    kinds = ("int", "double") if number is not tokens else ("int", "double", "string", "bool")
    if len(number) != 1 or number[0].kind not in kinds:
        return None
    value = literal(tokens)
    if (
        type(value) is not bool
        and isinstance(value, int | float)
        and not (math.isfinite(value) and abs(value) < _EXACT)
    ):
        return None
    return key(value)
