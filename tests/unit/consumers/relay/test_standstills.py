from __future__ import annotations

from dataclasses import replace
from typing import Any

from structlog.testing import capture_logs

from headrace.consumers.relay.definition import POSITION_PARTITIONS, Subscription, position_partition
from headrace.consumers.relay.standstills import Standstills

ONE = Subscription("one", "chat", None, "", "-1", "2026-01-01", "2026-01-01", mode="pull")
OTHER = replace(ONE, id="other", feed="upload")
STREAM: Any = object()


def test_those_of_a_stream_are_told_of_it_until_they_stand_no_more() -> None:
    told: list[str] = []
    standstills = Standstills(told.append)
    for subscription in (ONE, replace(ONE, id="two"), OTHER):
        standstills.begin(subscription, "it is not there")
    standstills.changed("chat", None)
    standstills.changed("nobody's", STREAM)
    assert told == []
    standstills.changed("chat", STREAM)
    assert sorted(told) == ["one", "two"]
    assert standstills.end("one") == ONE
    assert standstills.end("one") is None
    standstills.changed("chat", STREAM)
    assert sorted(told) == ["one", "two", "two"]


def test_what_it_waits_for_is_logged_once_as_long_as_that_is_the_same() -> None:
    standstills = Standstills(lambda _: None)
    with capture_logs() as said:
        for reason in ("no stream", "no stream", "no topic"):
            standstills.begin(ONE, reason)
            assert standstills.reason("one") == reason
        assert len(said) == 2
        standstills.end("one")
        assert (standstills.get("one"), standstills.reason("one")) == (None, None)
        standstills.begin(ONE, "no topic")
        assert len(said) == 3


def test_they_are_known_by_the_partition_of_their_positions() -> None:
    standstills = Standstills(lambda _: None)
    for subscription in (ONE, OTHER):
        standstills.begin(subscription, "it is not there")
    assert standstills.names(range(POSITION_PARTITIONS)) == {"one", "other"}
    assert "one" in standstills.names([position_partition("one")])
    assert standstills.names([]) == set()
