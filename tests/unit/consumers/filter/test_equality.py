"""Which equalities are found in an expression, and which only look like some."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.consumers.filter.equality import MAX_KEYS, key
from headrace.consumers.filter.expression import Filter

A, B = ("data", "a"), ("data", "b")

FOUND: list[tuple[str, dict[tuple[str, ...], set[Any]], bool]] = [
    ("data.a == 'x'", {A: {"x"}}, True),
    ("'x' == data.a", {A: {"x"}}, True),
    ("(data.a) == ('x')", {A: {"x"}}, True),
    ("data['a'] == r'\\d'", {A: {"\\d"}}, True),
    ("data.a == 'it\\'s \\x41 \\u00e9 \\101'", {A: {"it's A é A"}}, True),
    ('data.a == """a\n"b"""', {A: {'a\n"b'}}, True),
    ("data.a == - 5", {A: {-5}}, True),
    ("data.a == 0x1F", {A: {31}}, True),
    ("data.a == 1.5e3", {A: {1500.0}}, True),
    ("data.a == true", {A: {True}}, True),
    ("data.a in ['x', 1, false]", {A: {"x", 1, False}}, True),
    ("data.a in []", {A: set()}, True),
    ("type == 'a || b' // && data.b == 1", {("type",): {"a || b"}}, True),
    ("data['a b'].c == 1", {("data", "a b", "c"): {1}}, True),
    ("data.a == 1 && data.b == 2", {A: {1}, B: {2}}, True),
    ("((data.a == 1) && (data.b == 2 && data.c))", {A: {1}, B: {2}}, False),
    ("data.a == 1 && (data.b == 2 || data.c == 3)", {A: {1}}, False),
    ("data.a > 1 && data.b == 2", {B: {2}}, False),
    ("data.a == 1 && data.b == data.c", {A: {1}}, False),
    ("data.l.exists(x, x == 1 && true) && data.a == 1", {A: {1}}, False),
]

NOT_FOUND = [
    "data.a == 1 || data.b == 2",
    "data.a == 1 && data.b == 2 || true",
    "data.a == 1 ? data.b == 2 : true",
    "!(data.a == 1)",
    "!data.a == true",
    "data.a == 1 == true",
    "data.a == 1 + 1",
    "data.a + 1 == 1",
    "data.a != 1",
    "data.a == data.b",
    "data.a == null",
    "data.a == 1u",
    "data.a == b'x'",
    "data.a == 9007199254740992",
    "data.a == 9007199254740992.0",
    "data.a in [1, 9007199254740993]",
    "data.a in [1, data.b]",
    "data.a in {'x': 1}",
    "data.a in ['x'] || data['b']",
    "data.a == 0 || data.a in [] && 0 == data['b']",
    "'x' in data.a",
    "data.l[0] == 1",
    "data.a.startsWith('x') == true",
    "size(data.a) == 1",
    "data.l.all(data, data.a == 1 && true)",
    "'data.a == 1 && data.b == 1' == data.a + ''",
    "data.a > 1",
]


def _as_keys(values: set[Any]) -> frozenset[Any]:
    return frozenset(key(value) for value in values)


@pytest.mark.parametrize(("text", "terms", "decides"), FOUND)
def test_an_equality_that_must_hold_is_found(text: str, terms: dict[tuple[str, ...], set[Any]], decides: bool) -> None:
    found = Filter.parse(text).equalities
    assert found is not None
    assert {term.path: term.keys for term in found.terms} == {p: _as_keys(values) for p, values in terms.items()}
    assert found.decides is decides


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_is_no_equality_is_left_to_evaluation(text: str) -> None:
    assert Filter.parse(text).equalities is None


def test_many_combinations_of_values_are_not_all_looked_up() -> None:
    values = f"[{', '.join(map(str, range(20)))}]"
    found = Filter.parse(f"data.a in {values} && data.b in {values} && data.c == 1").equalities
    assert found is not None
    assert [term.path for term in found.terms] == [A, ("data", "c")]
    assert not found.decides
    assert len(list(found.combinations())) == 20 <= MAX_KEYS


def test_booleans_are_other_keys_than_numbers_and_texts() -> None:
    assert len({key(value) for value in (True, 1, "1", "true", False, 0)}) == 6
    assert key(1) == key(1.0)
    assert key(None) is key([1]) is key({}) is None
