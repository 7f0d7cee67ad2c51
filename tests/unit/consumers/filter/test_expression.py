"""What a filter says of an event, and which texts are filters."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from headrace.consumers.filter.expression import MAX_CHARACTERS, Filter, InvalidFilter
from headrace.consumers.filter.view import MAX_TEXT_CHARACTERS, MAX_VALUES

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "type": "flights.EnrichedDeparture",
    "source": "/feeds/flights",
    "time": "2013-01-01T05:15:00.000Z",
    "partitionkey": "N14228",
    "partition": 2,
    "sequence": "0000000000000000017",
    "traceparent": "00-abc",
    "data": {
        "tailnum": "N14228",
        "distance": 1400,
        "air_time": 227.0,
        "cancelled": False,
        "gate": None,
        "fare": "12.30",
        "weather": {"temp": 39.0, "wind dir": 260},
        "legs": [{"dest": "IAH"}, {"dest": "MIA"}],
    },
}

MATCHING = [
    "data.tailnum == 'N14228'",
    "data['tailnum'] == \"N14228\"",
    "type == 'flights.EnrichedDeparture' && partition == 2 && partitionkey == 'N14228'",
    "extensions.traceparent.startsWith('00-')",
    "data.distance > 1000 && data.weather.temp < 40",
    "data.distance == 1400.0 && data.air_time == 227",
    "data.weather['wind dir'] == 260",
    "data.fare == '12.30' && double(data.fare) > 12.0",
    "timestamp(time) < timestamp('2014-01-01T00:00:00Z')",
    "data.gate == null && has(data.gate) && !has(data.terminal)",
    "data.missing == 1 || data.distance == 1400",
    "!data.cancelled",
    "data.legs[1].dest == 'MIA' && size(data.legs) == 2",
    "data.legs.exists(leg, leg.dest == 'IAH') && !data.legs.all(data, data.dest == 'IAH')",
    "data.tailnum in ['N1', 'N14228']",
    "'dest' in data.legs[0]",
    "data.tailnum.matches('^N[0-9]+$')",
    "type(data.distance) == int",
    "true",
    "data.tailnum == 'N14228' // the Newark plane\n && data.distance < 2000",
]

NOT_MATCHING = [
    "data.tailnum == 'N1'",
    "data.missing == 1",
    "data.missing != 1",
    "data.tailnum.missing == 1",
    "data.legs.dest == 'IAH'",
    "data.legs[9].dest == 'IAH'",
    "subject == 'a'",
    "data.distance > 'a'",
    "data.distance / 0 == 1",
    "data.distance == '1400'",
    "data.cancelled == 0",
    "data.distance",
    "data.weather",
    "data.distance && data.cancelled",
    "timestamp(data.tailnum) > timestamp(time)",
    "false",
]


@pytest.mark.parametrize("text", MATCHING)
def test_an_event_matches(text: str) -> None:
    assert Filter.parse(text).matches(EVENT)


@pytest.mark.parametrize("text", NOT_MATCHING)
def test_what_is_missing_or_of_another_type_does_not_match(text: str) -> None:
    assert not Filter.parse(text).matches(EVENT)


@pytest.mark.parametrize("event", [{}, {"data": None}, {"data": [1]}, {"data": "text"}, {"data_base64": "AAE="}])
@pytest.mark.parametrize("text", ["data.a.b == 1", "data[0] == 1 && data.a", "has(data.a) && size(data) > 3"])
def test_an_event_of_any_shape_is_answered(event: dict[str, Any], text: str) -> None:
    assert Filter.parse(text).matches(event) is False


INVALID = [
    ("", "line 1, column 1: mismatched input '<EOF>'"),
    ("data.a ==", "line 1, column 10"),
    ("data.a == 1 &&\n  data.b = 2", "line 2, column 10"),
    ("data.a == 'x", "line 1, column 11"),
    ("data.a == 99999999999999999999", "line 1, column 11: invalid int literal"),
    ("tailnum == 'N1'", "line 1, column 1: unknown name tailnum: a field of the body is data.tailnum, an extension"),
    ("data.a == 1 &&\n tail_num == 'N1'", "line 2, column 2: unknown name tail_num: a field of the body"),
    (".data.a == 1", "line 1, column 1: unknown name .data"),
    ("data.a == 1 || lower(data.b) == 'x'", "line 1, column 16: unknown function lower()"),
    ("Point{x: 1} == data", "line 1, column 1: Point{}: there are no message types"),
    ("1 + 1", "gives no true or false"),
    ("'a'", "gives no true or false"),
    ("(-data.a)", "gives no true or false"),
    ("size(data.a)", "gives no true or false"),
    ("[data.a == 1]", "gives no true or false"),
    ("subject", "gives no true or false"),
    ("data.a == '" + "x" * MAX_CHARACTERS + "'", "at most 2000 characters"),
]


@pytest.mark.parametrize(("text", "reason"), INVALID)
def test_what_is_no_filter_is_refused_with_its_place(text: str, reason: str) -> None:
    with pytest.raises(InvalidFilter) as raised:
        Filter.parse(text)
    assert reason in str(raised.value)
    assert isinstance(raised.value, ValueError)


def test_filters_of_the_same_text_are_equal() -> None:
    assert Filter.parse("data.a == 1") == Filter.parse("data.a == 1")
    assert len({Filter.parse("data.a == 1"), Filter.parse("data.a == 1"), Filter.parse("data.a == 2")}) == 2


def test_a_filter_that_reads_too_large_a_value_does_not_match_but_its_neighbours_are_seen() -> None:
    event = {"data": {"a": 1, "many": [0] * (MAX_VALUES + 1), "long": "x" * (MAX_TEXT_CHARACTERS + 1)}}
    for text in ("data.many[0] == 0", "size(data.long) > 1", "size(data) == 3", "!has(data.many)", "data.many != []"):
        assert not Filter.parse(text).matches(event), text
    assert Filter.parse("data.a == 1 && has(data.a) && data.a > 0").matches(event)
    assert Filter.parse("size(data.many) == 1000").matches({"data": {"many": [0] * MAX_VALUES}})


def test_one_filter_serves_several_threads() -> None:
    one = Filter.parse("data.legs.exists(leg, leg.dest == 'MIA') && data.distance > 1000")
    wrong: list[object] = []

    def evaluate() -> None:
        for n in range(500):
            event = {"data": {"legs": [{"dest": "MIA"}], "distance": 999 + n % 3}}
            if one.matches(event) is not (n % 3 == 2):
                wrong.append(n)

    threads = [threading.Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
