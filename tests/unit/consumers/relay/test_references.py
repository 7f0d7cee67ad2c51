"""References of which it is not known whether they are in Kafka: none is left there once its event is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.waiting import until
from unit.consumers.relay.positions import Positions
from unit.consumers.relay.test_puller import puller, subscription
from unit.consumers.relay.test_runner import FakeEndpoint, feed_in_memory, run

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.relay import runner as runner_module
from headrace.consumers.relay.catch_up import acknowledged
from headrace.consumers.relay.holdings import Holdings
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.puller import Delivery, Puller
from headrace.consumers.relay.starting import Starting
from headrace.consumers.relay.state import LaneState, Parked, Stored, parked_key, parked_record, stored
from headrace.kafka.offsets import KafkaUnavailable

STATE_KEY = "s\0now"


@pytest.fixture
async def positions() -> Positions:
    return Positions()


@pytest.fixture
async def journal(positions: Positions) -> AsyncIterator[Any]:
    """Writes when it is asked to, and not by itself."""
    journal = Journal(cast("Any", positions), 3600.0)
    yield journal
    await journal.close()


def places(found: Stored) -> set[tuple[int, int]]:
    return {(parked.partition, parked.offset) for parked in found.parked}


def left(positions: Positions) -> set[tuple[int, int]]:
    """Where a next owner finds references."""
    return places(stored(positions.kept.items()))


async def given_back_and_not_known(one: Puller, positions: Positions, leased: Delivery) -> None:
    """A delay that is in Kafka, and was not acknowledged."""
    positions.unheard = lambda record: b"parked" in (record.key or b"")
    with pytest.raises(KafkaUnavailable):
        await one.nack([leased.ack_id], 600)
    positions.unheard = lambda record: False
    assert left(positions) == {(0, 0)}


async def test_an_event_that_is_acknowledged_does_not_come_back_by_a_reference_that_was_not(
    positions: Positions,
) -> None:
    one = puller(positions, feed_in_memory([None]), subscription())
    (leased,) = await one.lease(1, 0, 300)
    await given_back_and_not_known(one, positions, leased)
    (again,) = await one.lease(1, 0, 300)
    assert await one.ack([again.ack_id]) == {}
    assert left(positions) == set()


async def test_nor_where_another_goes_on_before_it_is_acknowledged(positions: Positions) -> None:
    log = feed_in_memory([None])
    first = puller(positions, log, subscription())
    (leased,) = await first.lease(1, 0, 300)
    await given_back_and_not_known(first, positions, leased)
    await first.stop()
    second = puller(positions, log, subscription(), first.stored())
    await second.acknowledge((1,))
    assert left(positions) == set()


async def test_a_reference_that_is_written_at_last_is_there_until_its_event_is_done(positions: Positions) -> None:
    one = puller(positions, feed_in_memory([None, None]), subscription())
    leased, other = await one.lease(2, 0, 300)
    await given_back_and_not_known(one, positions, leased)
    (again,) = await one.lease(1, 0, 300)
    assert await one.nack([again.ack_id], 600) == {}
    assert await one.ack([other.ack_id]) == {}
    assert left(positions) == {(0, 0)}


async def test_what_is_parked_when_a_subscription_is_stopped_is_known_to_who_goes_on(
    positions: Positions, journal: Journal
) -> None:
    waits = Parked(0, 0, 1, 2**50, b"a")
    positions.kept.update([parked_record(STATE_KEY, 0, waits)])
    positions.answers.clear()
    found = Stored(lanes={0: LaneState(1)}, parked=[waits])
    log = feed_in_memory([b"a"] * 1100)
    runner = run(log, FakeEndpoint(), cast("Any", journal), ordering="key", found=found)
    await until(lambda: positions.waiting)  # those behind it of its key are parked
    stopping = asyncio.ensure_future(runner.stop())
    await asyncio.sleep(0)  # it has begun
    positions.answers.set()
    await stopping
    assert places(runner.stored()) == left(positions) == {(0, offset) for offset in range(1001)}


async def test_an_attempt_that_is_cut_off_while_it_parks_leaves_no_reference_of_what_another_delivers(
    positions: Positions, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "HAND_OVER_S", 0.0)
    log, endpoint = feed_in_memory([None]), FakeEndpoint(fail_once={"e-0"})
    positions.answers.clear()
    first = run(log, endpoint, cast("Any", journal))
    await until(lambda: positions.waiting)
    stopping = asyncio.ensure_future(first.stop())
    await until(lambda: not first.in_flight)
    positions.answers.set()
    await stopping
    assert left(positions) == {(0, 0)}
    second = run(log, endpoint, cast("Any", journal), found=first.stored())
    await until(lambda: endpoint.delivered == ["e-0"])
    await second.stop()
    assert left(positions) == set()


async def test_what_could_not_be_removed_is_removed_before_another_goes_on(
    positions: Positions, journal: Journal
) -> None:
    due = Parked(0, 0, 1, 0)
    positions.kept.update([parked_record(STATE_KEY, 0, due)])
    log, endpoint = feed_in_memory([None]), FakeEndpoint()
    runner = run(log, endpoint, cast("Any", journal), found=Stored(lanes={0: LaneState(1)}, parked=[due]))
    await until(lambda: endpoint.delivered == ["e-0"])
    positions.lost = lambda record: True
    await runner.stop()
    assert left(positions) == {(0, 0)}
    positions.lost = lambda record: False

    async def found(of: object) -> FeedLog:
        return log

    logs, nothing = SimpleNamespace(log=found, ensure=found), SimpleNamespace(endpoint=lambda of, log: None)
    starting = Starting(cast("Any", logs), cast("Any", logs), cast("Any", nothing), journal, Holdings())
    await starting.ready(subscription(), runner.stored())
    assert left(positions) == set()


def test_a_move_removes_what_may_be_in_kafka_too() -> None:
    found = Stored(parked=[Parked(0, 4, 1, 0), Parked(0, 5, 1, 0)], unsure=frozenset({(0, 3), (0, 7), (1, 0)}))
    moved, done = acknowledged(found, (5,))
    assert done == [(0, 3), (0, 4)]
    assert places(moved) == {(0, 5)}
    assert moved.unsure == {(0, 7), (1, 0)}
    assert parked_key(STATE_KEY, 0, 0, 7) in moved.keys_of_epoch(STATE_KEY)
