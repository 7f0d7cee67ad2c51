"""Requests are held to their types, and nothing is guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headrace.consumers.checked import checked, checked_query
from headrace.consumers.lease_request import Lease
from headrace.consumers.subscription_attempts import AskAttempts
from headrace.consumers.subscription_request import Create, Redeliver, Seek
from headrace.http.problems import Problem


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"max_events": "5"}', "/max_events"),
        (b'{"max_events": true}', "/max_events"),
        (b'{"wait_s": "1"}', "/wait_s"),
    ],
)
def test_in_a_body_text_and_booleans_are_no_numbers(body: bytes, pointer: str) -> None:
    with pytest.raises(Problem) as refused:
        checked(Lease, body)
    assert [error["pointer"] for error in refused.value.extensions["errors"]] == [pointer]


def test_to_json_a_whole_number_may_end_in_a_zero() -> None:
    assert checked(Lease, b'{"max_events": 5.0}').max_events == 5
    assert checked(Redeliver, b'{"partition": 0.0, "offset": 17.0}').offset == 17
    assert checked(Create, b'{"feed": "a", "mode": "pull", "max_in_flight": 2.0}').max_in_flight == 2
    with pytest.raises(Problem):
        checked(Lease, b'{"max_events": 5.5}')


@pytest.mark.parametrize("offset", ["-1", "9223372036854775808", "1e300"])
def test_an_offset_is_one_that_kafka_may_have(offset: str) -> None:
    with pytest.raises(Problem):
        checked(Redeliver, b'{"partition": 0, "offset": %b}' % offset.encode())


def test_in_a_query_numbers_are_text() -> None:
    assert checked_query(AskAttempts, {"limit": "7"}).limit == 7


@pytest.mark.parametrize("body", [b'{"from": 0}', b'{"from": 1.5}', b'{"from": "0.5"}', b'{"from": "2013"}'])
def test_a_number_is_no_time(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        checked(Seek, body)
    (error,) = refused.value.extensions["errors"]
    assert error["pointer"] == "/from"
    assert "2013-01-01T05:00:00Z" in error["detail"]


@pytest.mark.parametrize("text", ["2013-01-01T05:00:00Z", "2013-01-01t05:00:00z", "2013-01-01T06:00:00+01:00"])
def test_a_time_is_one_of_rfc_3339(text: str) -> None:
    moment = checked(Seek, b'{"from": "%b"}' % text.encode()).from_
    assert moment is not None
    assert moment - datetime(2013, 1, 1, 5, tzinfo=UTC) == timedelta(0)
