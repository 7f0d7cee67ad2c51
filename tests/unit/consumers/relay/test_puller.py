"""A pull subscription whose owner changes, or whose writes are slow or fail."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from support.waiting import until
from unit.consumers.relay.positions import Positions
from unit.consumers.relay.test_runner import FEED, feed_in_memory, no_dead_letter

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.options import Options
from headrace.consumers.relay.puller import Puller
from headrace.consumers.relay.router import Router
from headrace.consumers.relay.state import Stored
from headrace.kafka.bridge import Undelivered

SHORT_S = 0.1


def subscription(**options: Any) -> Subscription:
    return Subscription("s", FEED.name, None, "", "-1", "now", "now", mode="pull", options=Options(**options))


def puller(positions: Positions, log: FeedLog, of: Subscription, found: Stored | None = None) -> Puller:
    return Puller(
        of,
        found or Stored(writer=1),
        (0,),
        log,
        max_parked=1000,
        journal=Journal(cast("Any", positions), 3600.0),  # what must be in Kafka is written at once
        router=Router(log),
        dead_letter=no_dead_letter,
        counted=(0, 0),
    )


async def test_what_was_acknowledged_after_a_takeover_does_not_come_back_after_another() -> None:
    positions, log, of = Positions(), feed_in_memory([None]), subscription()
    (leased,) = await puller(positions, log, of).lease(1, 0, 300)
    second = puller(positions, log, of, positions.taken_over(of))
    assert await second.ack([leased.ack_id]) == {}

    third = puller(positions, log, of, positions.taken_over(of))

    assert await third.lease(1, 0, 300) == []
    assert third.position == (1,)


async def test_a_lease_that_runs_out_while_it_is_written_is_not_given_to_who_asked() -> None:
    positions, log = Positions(), feed_in_memory([None])
    one = puller(positions, log, subscription())
    positions.answers.clear()
    slow = asyncio.ensure_future(one.lease(1, 0, SHORT_S))
    await until(lambda: one.status()["failed"] == 1)
    other = asyncio.ensure_future(one.lease(1, 0, 30))
    await until(lambda: one.status()["in_flight"] == 1)

    positions.answers.set()

    assert await slow == []
    assert [delivery.number for delivery in await other] == [2]


@pytest.mark.parametrize("ordering", ["none", "key"])
async def test_a_lease_that_runs_out_and_cannot_be_written_gives_its_event_back_once(ordering: str) -> None:
    positions, log = Positions(), feed_in_memory([b"k", b"k", b"k"])
    one = puller(positions, log, subscription(ordering=ordering))
    positions.answers.clear()
    positions.lost = lambda record: True
    slow = asyncio.ensure_future(one.lease(1, 0, SHORT_S))
    await until(lambda: one.status()["failed"] == 1)
    positions.answers.set()
    with pytest.raises(Undelivered):
        await slow
    positions.lost = lambda record: False

    (first,) = await one.lease(1, 0, 30)
    assert await one.ack([first.ack_id]) == {}
    rest = await one.lease(10, 0, 30)

    assert len(rest) == (2 if ordering == "none" else 1)
