"""Picking and renaming fields of an event's data."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.consumers.filter.projection import InvalidProjection, Projection

EVENT = {
    "id": "1",
    "type": "t",
    "data": {"tailnum": "N1", "gate": None, "weather": {"temp": 39.0, "wind dir": 260}, "legs": [{"dest": "IAH"}]},
}

APPLIED: list[tuple[Any, dict[str, Any]]] = [
    ({"tail": "data.tailnum", "wind": "data.weather['wind dir']"}, {"tail": "N1", "wind": 260}),
    ({"a": "data.tailnum", "b": "data.tailnum"}, {"a": "N1", "b": "N1"}),
    ({"tail": "data.tailnum", "fare": "data.fare", "deep": "data.tailnum.x"}, {"tail": "N1"}),
    ({"gate": "data.gate"}, {"gate": None}),
    ({"all": "data.weather", "legs": "data.legs"}, {"all": EVENT["data"]["weather"], "legs": [{"dest": "IAH"}]}),  # type: ignore[index]
    (["data.tailnum", "data.weather.temp"], {"tailnum": "N1", "weather": {"temp": 39.0}}),
    (["data.weather.temp", "data.weather['wind dir']"], {"weather": {"temp": 39.0, "wind dir": 260}}),
    (["data.missing.x"], {}),
]


@pytest.mark.parametrize(("value", "data"), APPLIED)
def test_fields_are_picked_and_renamed(value: Any, data: dict[str, Any]) -> None:
    before = repr(EVENT)
    assert Projection.parse(value).apply(EVENT) == data
    assert repr(EVENT) == before


@pytest.mark.parametrize("event", [{}, {"data": None}, {"data": [1]}, {"data_base64": "AA=="}])
def test_data_of_another_shape_gives_no_fields(event: dict[str, Any]) -> None:
    assert Projection.parse(["data.a.b"]).apply(event) == {}


REFUSED: list[tuple[Any, str, str]] = [
    ("data.a", "", "expected an object of names and paths, or a list of paths"),
    ({}, "", "expected 1 to 100 fields, got 0"),
    ([f"data.a{n}" for n in range(101)], "", "expected 1 to 100 fields, got 101"),
    ({"a/b~": 1}, "/a~1b~0", "expected a path as text"),
    ({"": "data.a"}, "/", "a name has 1 to"),
    ({"a": "data"}, "/a", "expected a field of the data"),
    ({"a": "id"}, "/a", "expected a field of the data"),
    ({"a": ""}, "/a", "expected a field of the data"),
    ({"a": "data.legs[0]"}, "/a", "expected a field of the data"),
    ({"a": "data.size()"}, "/a", "expected a field of the data"),
    ({"a": "data.a #"}, "/a", "column 8: unexpected '#'"),
    ({"a": "data." + "a" * 500}, "/a", "at most 500 characters"),
    (["data.a", "data.b", "data.a.c"], "/2", "is the same as, or a part of, data.a"),
    (["data.a.c", "data.a"], "/1", "is the same as, or a part of, data.a.c"),
]


@pytest.mark.parametrize(("value", "pointer", "detail"), REFUSED)
def test_what_is_no_projection_is_refused_with_a_pointer(value: Any, pointer: str, detail: str) -> None:
    with pytest.raises(InvalidProjection) as raised:
        Projection.parse(value)
    assert raised.value.pointer == pointer
    assert detail in raised.value.detail
    assert isinstance(raised.value, ValueError)
