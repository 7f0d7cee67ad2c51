"""Whoever is found by the index is who would be found by asking every filter."""

from __future__ import annotations

import json
import random
from typing import Any

import cel
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.consumers.filter.event import Event
from headrace.consumers.filter.expression import Filter
from headrace.consumers.filter.fields import visible
from headrace.consumers.filter.matcher import Matcher, matches
from headrace.consumers.filter.view import View

SLOW = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)

NUMBERS: list[Any] = [0, 1, -1, 1.0, 0.5, -0.0, 2**53, 2**53 + 1, float(2**53), 2**63, 2**64, -(2**63) - 1, 1e300]
TEXTS = ["", "1", "a", 'it\'s || "x" && y', "a // b", "\\d", "true", "é\u0301", "😀"]
VALUES: list[Any] = [*NUMBERS, *TEXTS, True, False, None]
PATHS = [
    "type",
    "subject",
    "partition",
    "extensions.x",
    "data",
    "data.a",
    "data['b']",
    "data.c.d",
    "data.l[0]",
    "data.l",
]
TYPES = ["t", "u", "v"]


def _said(value: Any) -> str:
    """A literal of CEL."""
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    if isinstance(value, bool) or value is None:
        return orjson.dumps(value).decode()
    return repr(value)


LITERALS = st.sampled_from([v for v in VALUES if not isinstance(v, int) or -(2**63) <= v < 2**63]).map(
    lambda value: "1e300" if value == 1e300 else _said(value)
)
RAW = st.sampled_from(["r'\\d'", "'\\x61'", "'''a // b'''", "1u", "0x1", "b'a'", "- 1", "(1)"])
ANY_LITERAL = LITERALS | RAW


@st.composite
def _terms(draw: st.DrawFn) -> str:
    path, value = draw(st.sampled_from(PATHS)), draw(ANY_LITERAL)
    values = ", ".join(draw(st.lists(ANY_LITERAL, max_size=3)))
    other = draw(st.sampled_from(PATHS))
    return draw(
        st.sampled_from(
            [
                f"{path} == {value}",
                f"{value} == {path}",
                f"({path} == {value})",
                f"{path} in [{values}]",
                f"{path} != {value}",
                f"{path} > {value}",
                f"!({path} == {value})",
                f"{path} == {value} == true",
                f"{path} == {other}",
                f"{value} in {path}",
                "has(data.c.d)",
                "has(data.a)",
                "data.a",
                f"data.l.exists(x, x == {value} && true)",
                f"size({path}) == 1",
            ]
        )
    )


FILTER_TEXTS = st.recursive(
    _terms(),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["&&", "&&", "||"]), inner, st.booleans()).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})" if parts[3] else f"{parts[0]} {parts[1]} {parts[2]}"
        )
        | inner.map(lambda text: f"({text} ? has(data.a) : false)")
    ),
    max_leaves=4,
)


@st.composite
def _events(draw: st.DrawFn) -> dict[str, Any]:
    values = st.sampled_from(VALUES)
    event: dict[str, Any] = {
        "id": "1",
        "type": draw(st.sampled_from(TYPES)),
        "partition": draw(st.sampled_from([0, 1])),
    }
    if draw(st.booleans()):
        event["subject"] = draw(st.sampled_from(TEXTS))
    if draw(st.booleans()):
        event["x"] = draw(st.sampled_from(TEXTS))
    data = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "a": values | st.lists(values, max_size=2),
                "b": values,
                "c": st.fixed_dictionaries({}, optional={"d": values}) | values,
                "l": st.lists(values, max_size=3) | values,
            },
        )
        | values
    )
    if draw(st.integers(0, 9)):
        event["data"] = data
    return event


def event_of(members: dict[str, Any]) -> Event:
    # Not orjson: it writes no integer beyond 64 bits, which others may.
    said = json.dumps(members).encode()
    return Event(members["type"], lambda: said, lambda: said)


def _read(members: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(json.dumps(members))
    return read


def _by_the_library(text: str, members: dict[str, Any]) -> bool:
    try:
        return cel.compile(text).execute(visible(_read(members))) is True
    except Exception:
        return False


SUBSCRIPTIONS = st.lists(
    st.tuples(st.none() | FILTER_TEXTS, st.frozensets(st.sampled_from(TYPES), max_size=2)), max_size=8
)


@SLOW
@given(SUBSCRIPTIONS, st.lists(_events(), min_size=1, max_size=4))
def test_the_index_finds_whom_evaluation_finds(
    subscriptions: list[tuple[str | None, frozenset[str]]], events: list[dict[str, Any]]
) -> None:
    matcher: Matcher[int] = Matcher()
    wanted = [(None if text is None else Filter.parse(text), types) for text, types in subscriptions]
    for subscriber, (filter, types) in enumerate(wanted):
        matcher.add(subscriber, filter, types)
    for members in events:
        found = list(matcher.matching(event_of(members)))
        expected = {
            n
            for n, (text, types) in enumerate(subscriptions)
            if (not types or members["type"] in types) and (text is None or _by_the_library(text, members))
        }
        assert len(found) == len(set(found))
        assert set(found) == expected
        alone = event_of(members)
        assert {n for n, (filter, types) in enumerate(wanted) if matches(filter, types, alone)} == expected


@SLOW
@given(FILTER_TEXTS, _events())
def test_an_excerpt_and_equalities_say_what_the_library_says_of_all_of_the_event(
    text: str, members: dict[str, Any]
) -> None:
    filter, expected = Filter.parse(text), _by_the_library(text, members)
    assert filter.matches(_read(members)) is expected
    assert filter.evaluate(View(visible(_read(members)), filter.reads)) is expected
    if filter.equalities is not None:
        holds = filter.equalities.hold(visible(members))
        assert holds is expected if filter.equalities.decides else holds or not expected


def test_every_literal_finds_the_values_that_the_library_calls_equal() -> None:
    said = {"1e300" if v == 1e300 else _said(v) for v in VALUES if not isinstance(v, int) or -(2**63) <= v < 2**63}
    texts = [f"data.a == {one}" for one in said] + [f"data.a in ['other', {one}]" for one in said]
    matcher: Matcher[str] = Matcher()
    for text in texts:
        matcher.add(text, Filter.parse(text), frozenset())
    for value in [*VALUES, [1], {}]:
        members = {"type": "t", "data": {"a": value}}
        assert set(matcher.matching(event_of(members))) == {text for text in texts if _by_the_library(text, members)}


@SLOW
@given(SUBSCRIPTIONS, _events(), st.randoms(use_true_random=False))
def test_adding_and_removing_in_any_order_leaves_nothing_behind(
    subscriptions: list[tuple[str | None, frozenset[str]]], members: dict[str, Any], chance: random.Random
) -> None:
    wanted = {n: (None if text is None else Filter.parse(text), types) for n, (text, types) in enumerate(subscriptions)}
    matcher: Matcher[int] = Matcher()
    present: set[int] = set()
    for subscriber in chance.choices(range(len(wanted)), k=30) if wanted else ():
        if subscriber in present:
            matcher.remove(subscriber)
        else:
            matcher.add(subscriber, *wanted[subscriber])
        present ^= {subscriber}
        event = event_of(members)
        expected = {n for n in present if matches(*wanted[n], event)}
        assert set(matcher.matching(event_of(members))) == expected
        assert len(matcher) == len(present)
    for subscriber in present:
        matcher.remove(subscriber)
    assert vars(matcher) == vars(Matcher())


def test_a_subscriber_added_again_wants_only_what_it_said_last() -> None:
    matcher: Matcher[str] = Matcher()
    matcher.add("s", Filter.parse("data.a == 1"), frozenset())
    matcher.add("s", Filter.parse("data.a == 2"), frozenset({"t"}))
    assert list(matcher.matching(event_of({"type": "t", "data": {"a": 1}}))) == []
    assert list(matcher.matching(event_of({"type": "t", "data": {"a": 2}}))) == ["s"]
    assert list(matcher.matching(event_of({"type": "u", "data": {"a": 2}}))) == []


def test_a_large_value_that_one_filter_reads_changes_nothing_for_the_others() -> None:
    matcher: Matcher[str] = Matcher()
    texts = ["size(data) > 1", "data.a > 0", "has(data.many)", "data.many.all(x, x == 0)", "data.b != 1", "has(data.a)"]
    for text in texts:
        matcher.add(text, Filter.parse(text), frozenset())
    large = {"type": "t", "data": {"a": 1, "b": 2, "many": [0] * 5000}}
    assert set(matcher.matching(event_of(large))) == {"data.a > 0", "data.b != 1", "has(data.a)"}
    small = {"type": "t", "data": {"a": 1, "b": 2, "many": [0] * 5}}
    assert set(matcher.matching(event_of(small))) == set(texts)
