"""The checker itself: it must find what it is there to find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from faults.ledger import Account, Consumer, Ledger


def event(number: int, key: str | None = "N1", **changed: Any) -> dict[str, Any]:
    data = {"n": number, "added": "by the stream"}
    return {
        "id": f"e{number}",
        "type": "flight",
        "source": "/test",
        "partitionkey": key,
        "partition": 0,
        "sequence": f"{number:019d}",
        "data": data,
    } | changed


def ledger_of(count: int, key: str | None = "N1") -> Ledger:
    ledger = Ledger()
    for number in range(count):
        ledger.produced(f"e{number}", key, {"n": number})
        ledger.acknowledged(f"e{number}", (0, number))
    return ledger


def consumer_of(ledger: Ledger, events: Iterable[dict[str, Any]], name: str = "pulled") -> Consumer:
    consumer = ledger.consumer(name, "enriched")
    for one in events:
        consumer.saw(one)
    return consumer


def test_repeats_are_counted_and_are_no_fault() -> None:
    ledger = ledger_of(3)
    consumer = consumer_of(ledger, [event(n) for n in (0, 1, 0, 1, 2, 2)])
    assert ledger.missing(consumer) == 0
    assert ledger.check(consumer) == {"pulled": Account(events=3, repeats=3)}


def test_a_lost_event_is_found() -> None:
    ledger = ledger_of(3)
    consumer = consumer_of(ledger, [event(0), event(2)])
    assert ledger.missing(consumer) == 1
    with pytest.raises(AssertionError, match=r"pulled: acknowledged, but never seen: 1\n  e1 \(number 1, key N1\)"):
        ledger.check()


def test_an_event_lost_for_one_consumer_alone_is_found() -> None:
    ledger = ledger_of(2)
    consumer_of(ledger, [event(0), event(1)])
    consumer_of(ledger, [event(0)], "pushed")
    with pytest.raises(AssertionError, match="pushed: acknowledged, but never seen: 1"):
        ledger.check()


def test_an_event_that_was_not_acknowledged_may_be_seen_or_not() -> None:
    ledger = ledger_of(1)
    ledger.produced("e1", "N1", {"n": 1})
    ledger.produced("e2", "N1", {"n": 2})
    consumer_of(ledger, [event(0), event(2)])
    assert ledger.check()["pulled"].events == 2


def test_events_of_a_key_out_of_order_are_found() -> None:
    ledger = ledger_of(3)
    consumer_of(ledger, [event(0), event(2), event(1)])
    with pytest.raises(AssertionError, match=r"pulled: out of order: 1\n  e1 .* came after e2"):
        ledger.check()


def test_a_repeat_is_not_out_of_order_and_events_without_a_key_have_no_order() -> None:
    ledger = ledger_of(2)
    consumer_of(ledger, [event(0), event(1), event(0), event(1)])
    ledger.check()
    ledger = ledger_of(2, key=None)
    consumer_of(ledger, [event(1, None), event(0, None)])
    ledger.check()


def test_order_holds_for_each_key_by_itself() -> None:
    ledger = Ledger()
    for number, key in enumerate("abab"):
        ledger.produced(f"e{number}", key, {"n": number})
        ledger.acknowledged(f"e{number}")
    consumer_of(ledger, [event(1, "b"), event(3, "b"), event(0, "a"), event(2, "a")])
    ledger.check()


@pytest.mark.parametrize(
    "changed",
    [{"data": {"n": 0, "added": "other"}}, {"type": "other"}, {"partitionkey": "N2"}, {"time": "2013-01-01T00:00:00Z"}],
)
def test_a_repeat_with_another_payload_is_found(changed: dict[str, Any]) -> None:
    ledger = ledger_of(1)
    consumer_of(ledger, [event(0), event(0, **changed)])
    with pytest.raises(AssertionError, match="enriched: altered: 1"):
        ledger.check()


def test_a_payload_that_differs_between_two_consumers_of_a_feed_is_found() -> None:
    ledger = ledger_of(1)
    consumer_of(ledger, [event(0)])
    consumer_of(ledger, [event(0, data={"n": 0, "added": "other"})], "pushed")
    with pytest.raises(AssertionError, match=r"enriched: altered: 1\n  pushed: e0"):
        ledger.check()


def test_a_payload_that_is_not_what_was_produced_is_found() -> None:
    ledger = ledger_of(1)
    consumer_of(ledger, [event(0, data={"n": 7})])
    with pytest.raises(AssertionError, match="n is 7, not 0"):
        ledger.check()


def test_an_invented_event_is_found() -> None:
    ledger = ledger_of(1)
    consumer_of(ledger, [event(0), event(9)])
    with pytest.raises(AssertionError, match=r"pulled: seen, but never produced: 1\n  e9"):
        ledger.check()


def test_an_event_that_is_not_where_it_was_acknowledged_is_found() -> None:
    ledger = ledger_of(2)
    log = consumer_of(ledger, [event(0), event(1, sequence="7")])
    with pytest.raises(AssertionError, match=r"e1 was acknowledged at \(0, 1\), where nothing is"):
        ledger.check(log)


def test_an_acknowledgement_of_what_was_never_produced_is_found() -> None:
    ledger = ledger_of(1)
    ledger.acknowledged("e9")
    consumer_of(ledger, [event(0)])
    with pytest.raises(AssertionError, match="acknowledged, but never produced: 1"):
        ledger.check()


def test_a_ledger_in_which_nothing_was_acknowledged_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="nothing was acknowledged"):
        Ledger().check()


def test_a_message_shows_a_few_examples_and_how_many_there_are() -> None:
    ledger = ledger_of(100)
    consumer_of(ledger, [])
    with pytest.raises(AssertionError, match=r"never seen: 100\n(  e\d.*\n){5}  and 95 more"):
        ledger.check()


def test_the_longest_gap_is_that_of_the_slowest_partition() -> None:
    ledger = ledger_of(4)
    consumer = consumer_of(ledger, [])
    since_s = 0.0
    for number in range(4):
        consumer.saw(event(number, partition=number % 2))
    assert 0 <= consumer.longest_gap_s(consumer.sightings[0].at_s) < consumer.longest_gap_s(since_s)
