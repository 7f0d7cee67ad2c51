"""The key by which events are kept in order: short enough for a grant of the most events, and the same for ever."""

from __future__ import annotations

from typing import Any, cast

from unit.consumers.relay.test_runner import FakeMessage

from headrace.consumers.core.record import Record
from headrace.consumers.lease_request import MOST_EVENTS
from headrace.consumers.relay.grant import Grant, Leased, grant_record
from headrace.consumers.relay.options import Options
from headrace.consumers.relay.order_key import MOST_BYTES, order_key

BY_KEY = Options(ordering="key")


def event(key: bytes | None) -> Record:
    return Record(cast("Any", FakeMessage(0, key)), 0, 0)


def test_short_keys_are_as_they_are_and_long_ones_alike_only_where_they_are_equal() -> None:
    assert order_key(event(None), BY_KEY) is None
    assert order_key(event(b"key"), Options()) is None
    assert order_key(event(b"k" * MOST_BYTES), BY_KEY) == b"k" * MOST_BYTES
    long = [order_key(event(b"k" * 600_000 + end), BY_KEY) for end in (b"", b"", b"1")]
    assert long[0] == long[1] != long[2]
    # Kept in Kafka by one version, compared with what another reads.
    assert order_key(event(b"k" * (MOST_BYTES + 1)), BY_KEY) == bytes.fromhex("b9812a86d7bbe0fb15ebbb1b0debfeca")


def test_a_grant_of_the_most_events_fits_into_a_record() -> None:
    key = order_key(event(b"k" * 64), BY_KEY)
    events = tuple(Leased(99_999, 2**50 + n, 1000, key) for n in range(MOST_EVENTS))
    grant = Grant(2**50, events)
    assert sum(map(len, grant_record("subscription\0since", 2**50, "grant", grant))) < 1_000_000
    assert Grant.from_bytes(grant.to_bytes()) == grant
