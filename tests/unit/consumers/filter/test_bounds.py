"""No expression may hold up the process that evaluates it."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from headrace.consumers.filter.bounds import MAX_MATCHES, MAX_PATHS, MAX_PLUS
from headrace.consumers.filter.expression import MAX_CHARACTERS, Filter, InvalidFilter

REFUSED = [
    ("data.a.all(x, [x].all(y, y == 1))", "all() within a comprehension"),
    ("data.a.all(x, x.b.exists(y, y == 1))", "exists() within a comprehension"),
    ("data.a.all(x, x.matches('a'))", "matches() within a comprehension"),
    ("data.a.all(x, x == data.b)", "only its element, x, and literals"),
    ("data.a.all(x, [x, data.b] == [])", "only its element, x, and literals"),
    ("data.a.map(x, x) == []", "map() is not to be had"),
    ("data.a.filter(x, x > 1) == []", "filter() is not to be had"),
    ("data.a.all(i, x, x > 1)", "list.all(element, condition)"),
    ("data.a.exists(x, x == 1) && x == 1", "unknown name x"),
    ("data.a.matches(data.b)", "with a literal pattern"),
    ("data.a.matches('a' + data.b)", "with a literal pattern"),
    ("matches('a', data.b)", "with a literal pattern"),
    ("data.a.matches(r'\\w+')", "no classes by letter"),
    ("data.a.matches('\\\\pL')", "no classes by letter"),
    ("data.a.matches('(a{100}){100}')", "no counted repetition"),
    ("data.a.matches('" + "a" * 101 + "')", "more than 100 characters"),
    ("data.a.matches('(')", "not a pattern: unclosed group"),
    (" || ".join(["data.a.matches('a')"] * (MAX_MATCHES + 1)), f"more than {MAX_MATCHES} times matches()"),
    ("+".join(["data.a"] * (MAX_PLUS + 2)) + " == ''", f"more than {MAX_PLUS} times +"),
    (" && ".join(f"data.a{n}" for n in range(MAX_PATHS + 1)), f"more than {MAX_PATHS} different fields"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_what_could_take_long_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidFilter, match=r"^line 1, column [0-9]+: ") as raised:
        Filter.parse(text)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "data.a == 'x.map(' && data.b == \"matches('\" // data.a.map(x, x)",
        "data.map == 1 && data.filter.all == 2",
        "data.a.exists(x, x == 1) && data.b.exists(x, x == 2)",
        "data.a.matches('a\\\\.b[0-9]+(c|d)*') && data.a.matches(r'\\{')",
    ],
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    Filter.parse(text)


def _filled(unit: str, joint: str = "", before: str = "", after: str = "") -> str:
    """The longest filter that repeats a unit."""
    times = (MAX_CHARACTERS - len(before) - len(after) + len(joint)) // len(unit + joint)
    return before + joint.join([unit] * times) + after


DEEP: Any = 1
for _ in range(900):
    DEEP = [DEEP]
EVENT: dict[str, Any] = {"data": {"n": list(range(999)), "t": "x" * 16_000, "p": ["x" * 16_000] * 60, "d": DEEP}}
HOSTILE = [
    _filled("999 in data.n", " || "),
    _filled("data.n == [1]", " || "),
    _filled("data.n.exists(x, x < 0)", " || "),
    _filled("x == -1", " || ", "data.n.exists(x, ", ")"),
    _filled("'-1'", ",", "data.n.exists(x, x in [", "])"),
    _filled("!data.t.contains('y')", " && "),
    _filled("data.n", ",", "[", "] == []"),
    _filled("x.contains('y')", " || ", "data.p.exists(x, ", ")"),
    "data.p.exists(x, " + "+".join(["x"] * (MAX_PLUS + 1)) + " == '')",
    " || ".join(f"data.t.matches('{'.' * 98}{n}$')" for n in range(MAX_MATCHES)),
    _filled("data.d == data.d", " && "),
    _filled("!", after="data.b"),
    _filled("(", after=")"),
    _filled("[", after="]"),
    _filled("data.b?1:", after="data.b"),
    _filled("[0]", before="data.n"),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:30])
def test_a_hostile_filter_ends_soon(text: str) -> None:
    started = time.perf_counter()
    with contextlib.suppress(InvalidFilter):
        Filter.parse(text).matches(EVENT)
    assert time.perf_counter() - started < 2


def test_too_large_a_value_is_not_even_told_to_the_library() -> None:
    event = {"data": {str(n): "x" for n in range(300_000)}}
    started = time.perf_counter()
    assert not Filter.parse("size(data) > 1 || data['0'] == 'x'").matches(event)
    assert Filter.parse("data['0'].startsWith('x')").matches(event)
    assert time.perf_counter() - started < 1
