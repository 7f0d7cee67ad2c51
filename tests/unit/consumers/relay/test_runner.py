"""A subscription at work, over a feed in memory: what no timing of a real one would show for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from support.waiting import until

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.record import Record
from headrace.consumers.core.ring import Ring
from headrace.consumers.relay.connection import Phases
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.endpoint import Endpoint, Outcome
from headrace.consumers.relay.journal import Journal
from headrace.consumers.relay.options import Options, Ordering
from headrace.consumers.relay.outcome import verdict
from headrace.consumers.relay.policy import Policy
from headrace.consumers.relay.router import Router
from headrace.consumers.relay.runner import Runner
from headrace.consumers.relay.state import LaneState, Parked, Stored
from headrace.consumers.relay.turns import Turns
from headrace.kafka.bridge import Outgoing
from headrace.kafka.offsets import TopicIdentity
from headrace.schemas.catalogue import Entry
from headrace.schemas.codec import JsonCodec
from headrace.schemas.feed import Feed
from headrace.settings import RelaySettings

FEED = Feed("orders", "A test.", "orders", "json", "application/json", "order")


@dataclass(frozen=True)
class FakeMessage:
    """What a record looks at of Kafka's message."""

    offset: int
    by: bytes | None

    def __len__(self) -> int:
        return 2

    def headers(self) -> list[tuple[str, bytes]]:
        return [("ce_id", f"e-{self.offset}".encode())]

    def topic(self) -> str:
        return FEED.topic

    def key(self) -> bytes | None:
        return self.by

    def value(self) -> bytes:
        return b"{}"

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)


def feed_in_memory(keys: Sequence[bytes | None]) -> FeedLog:
    """One partition, all of it in the ring: a record for each key."""
    nothing: Any = None
    log = FeedLog(Entry(FEED, JsonCodec()), TopicIdentity("orders", "id", 1), [0], nothing, nothing, 2**24, nothing)
    for offset, key in enumerate(keys):
        log.rings[0].append(Record(cast("Any", FakeMessage(offset, key)), 0, offset))
    return log


@dataclass
class FakeEndpoint:
    """Delivers at once, but what is told to fail once."""

    fail_once: set[str] = field(default_factory=set)
    delivered: list[str] = field(default_factory=list)

    async def deliver(self, records: Sequence[Record]) -> Outcome:
        await asyncio.sleep(0)
        (record,) = records
        if record.id in self.fail_once:
            self.fail_once.discard(record.id)
            return Outcome(verdict(404, {}), 404, Phases(), "answered 404")
        self.delivered.append(record.id)
        return Outcome(verdict(204, {}), 204, Phases())


@dataclass
class FakeJournal:
    """Acknowledges; of many records at once only when it is let."""

    let: asyncio.Event = field(default_factory=asyncio.Event)
    snapshot: Callable[[], Any] | None = None

    def mark(self, subscription: str, snapshot: Callable[[], Any]) -> None:
        self.snapshot = snapshot

    async def write(self, subscription: str, records: Sequence[Any]) -> None:
        if len(records) > 1:
            await self.let.wait()

    async def flush(self, subscription: str) -> None:
        """Nothing is kept."""

    def report(self, record: Outgoing) -> None:
        """Nobody reads them."""

    behind = False


async def no_dead_letter(offset: int) -> Record:
    raise AssertionError(offset)


def run(
    log: FeedLog,
    endpoint: FakeEndpoint,
    journal: FakeJournal,
    *,
    ordering: Ordering = "none",
    found: Stored | None = None,
    router: Router | None = None,
) -> Runner:
    options = Options(ordering=ordering)
    subscription = Subscription("s", FEED.name, "http://x/", "sealed", "-1", "now", "now", options=options)
    return Runner(
        subscription,
        found or Stored(),
        (0,),
        log,
        cast("Endpoint", endpoint),
        Policy.of(options, None, RelaySettings(retry_schedule_s=(0.05,) * 10)),
        journal=cast("Journal", journal),
        turns=Turns(1000),
        router=router or Router(log),
        disable=lambda reason: None,
        dead_letter=no_dead_letter,
    )


async def test_a_long_run_of_events_that_are_done_already_does_not_end_the_reading() -> None:
    endpoint = FakeEndpoint()
    found = Stored(lanes={0: LaneState(0, ((1, 1500),))})
    runner = run(feed_in_memory([None] * 1600), endpoint, FakeJournal(), found=found)
    await until(lambda: len(endpoint.delivered) == 101, 5)
    assert runner.lag == 0
    await runner.stop()


async def test_a_key_that_waits_for_hours_does_not_hold_up_the_others_behind_it() -> None:
    endpoint = FakeEndpoint()
    found = Stored(lanes={0: LaneState(1)}, parked=[Parked(0, 0, 1, 2**50, b"a")])
    runner = run(feed_in_memory([b"a"] * 600 + [b"b"] * 100), endpoint, FakeJournal(), ordering="key", found=found)
    await until(lambda: len(endpoint.delivered) == 100, 5)
    assert endpoint.delivered == [f"e-{n}" for n in range(600, 700)]
    await runner.stop()


async def test_what_is_delivered_while_its_reference_is_written_is_parked_no_more() -> None:
    endpoint, journal = FakeEndpoint(fail_once={"e-0"}), FakeJournal()
    runner = run(feed_in_memory([b"a"] * 1100), endpoint, journal, ordering="key")
    await until(lambda: len(endpoint.delivered) == 1100, 10)
    journal.let.set()

    def removed() -> list[bytes]:
        assert journal.snapshot is not None
        return [key for key, value in journal.snapshot().records if value is None]

    await until(lambda: len(removed()) == 1100, 5)
    assert (runner.parked, runner.lag, runner.position) == (0, 0, (1100,))
    assert endpoint.delivered == [f"e-{n}" for n in range(1100)]
    await runner.stop()


async def test_one_that_catches_up_just_when_a_partition_is_added_is_offered_what_comes() -> None:
    log, endpoint = feed_in_memory([None, None]), FakeEndpoint()
    router = Router(log)
    log.rings.append(Ring(0, 2**24))  # nothing has come of it, so nobody was told
    runner = run(log, endpoint, FakeJournal(), router=router)
    await until(lambda: endpoint.delivered == ["e-0", "e-1"])
    log.rings[0].append(Record(cast("Any", FakeMessage(2, None)), 0, 2))
    log.rings[1].append(Record(cast("Any", FakeMessage(0, None)), 1, 0))
    log.settle(2)
    await until(lambda: sorted(endpoint.delivered) == ["e-0", "e-0", "e-1", "e-2"])
    await runner.stop()


async def test_a_parked_event_that_this_relay_has_not_seen_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    log, endpoint = feed_in_memory([None]), FakeEndpoint()

    async def refresh() -> None:
        log.rings[0].append(Record(cast("Any", FakeMessage(1, None)), 0, 1))

    monkeypatch.setattr(log, "refresh", refresh)
    found = Stored(lanes={0: LaneState(2)}, parked=[Parked(0, 1, 1, 0, None)])

    runner = run(log, endpoint, FakeJournal(), found=found)

    await until(lambda: endpoint.delivered == ["e-1"])
    await runner.stop()
