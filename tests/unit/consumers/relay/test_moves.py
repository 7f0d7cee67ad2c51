"""Moving a subscription while Kafka takes some of the writes and not others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from unit.consumers.relay.positions import Positions
from unit.consumers.relay.test_runner import FEED, FakeEndpoint, feed_in_memory, no_dead_letter

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.relay.definition import Subscription, position_partition
from headrace.consumers.relay.holdings import Holdings
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.maker import Maker
from headrace.consumers.relay.moves import Moves
from headrace.consumers.relay.policy import Policy
from headrace.consumers.relay.router import Router
from headrace.consumers.relay.runner import Runner
from headrace.consumers.relay.state import LaneState, Stored
from headrace.consumers.relay.turns import Turns
from headrace.settings import RelaySettings

PAUSED = Subscription("s", FEED.name, "http://x/", "sealed", "-1", "now", "now", state="paused")


@dataclass
class FakeMaker:
    journal: Journal

    def stand(self, of: Subscription, found: Stored, start: Position, log: FeedLog, endpoint: Any = None) -> Runner:
        return Runner(
            of,
            found,
            start,
            log,
            endpoint or cast("Any", FakeEndpoint()),
            Policy.of(of.options, None, RelaySettings()),
            journal=self.journal,
            turns=Turns(1000),
            router=Router(log),
            disable=lambda reason: None,
            dead_letter=no_dead_letter,
        )


async def test_what_could_not_be_written_before_does_not_come_after_an_acknowledgement() -> None:
    positions, held = Positions(), Holdings()
    journal = Journal(cast("Any", positions), 3600.0)
    maker = FakeMaker(journal)
    held.gain(position_partition("s"), {}, 1)
    found = Stored(writer=1, lanes={0: LaneState(0)})
    held.runners["s"] = runner = maker.stand(PAUSED, found, (0,), feed_in_memory([None] * 10))
    failures = [True]
    positions.lost = lambda record: bool(failures and failures.pop())

    await Moves(held, cast("Maker", maker), journal).acknowledge(runner, (10,))
    await journal.flush("s")

    assert positions.taken_over(PAUSED).lanes[0].position == 10
