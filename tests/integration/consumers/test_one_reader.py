"""One reader, whatever it does: through changes of transport, limits, filters, stalls, restarts and new partitions.

HEADRACE_READER_EXAMPLES=200 looks at so many histories, each time others; by default there are few, always the same.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from support.feeds import write_feed
from support.live import TRANSPORTS
from support.one_reader import ALL, Gateway, OneReader, within
from support.running import let_go
from support.waiting import until
from support.written_log import FILTERS, Choice, WrittenLog

from headrace.consumers.core import tail
from headrace.consumers.websocket import endpoint

EXAMPLES = int(os.environ.get("HEADRACE_READER_EXAMPLES", "0"))
STEPS = 12
MOST_PARTITIONS = 4
MOST_FLOODS = 2
FLOOD_EVENTS, FLOOD_BYTES = 2000, 3000
"""More than the buffers of a connection hold."""


@dataclass(frozen=True)
class Write:
    partition: int
    count: int
    kind: str
    key: str
    padding_bytes: int


@dataclass(frozen=True)
class Trickle:
    """Events one by one, each when the one before is there."""

    partition: int
    count: int
    kind: str
    key: str


@dataclass(frozen=True)
class Grow:
    """A partition more, with events in it before any gateway has seen it."""

    kind: str
    key: str


@dataclass(frozen=True)
class Restart:
    gateway: int


Happening = Write | Trickle | Grow | Restart

PARTITIONS, GATEWAYS = st.integers(0, MOST_PARTITIONS - 1), st.integers(0, 1)
KINDS, KEYS = st.sampled_from("abc"), st.sampled_from(["k", "l"])
WRITES = st.builds(Write, PARTITIONS, st.integers(1, 40), KINDS, KEYS, st.sampled_from([0, 200]))
FLOODS = st.builds(Write, PARTITIONS, st.just(FLOOD_EVENTS), KINDS, KEYS, st.just(FLOOD_BYTES))
TRICKLES = st.builds(Trickle, PARTITIONS, st.integers(5, 15), KINDS, KEYS)
HAPPENINGS = st.lists(
    st.one_of(WRITES, WRITES, TRICKLES, FLOODS, st.builds(Grow, KINDS, KEYS), st.builds(Restart, GATEWAYS)), max_size=3
)
LIMITS = st.sampled_from([1, 2, 7, 50, 1000])
BYTES = st.sampled_from([1, 500, 5_000, 2**20])
CHUNKS = st.sampled_from([1, 3, 30, 3000])
CHOICES = st.one_of(
    st.just(ALL),
    st.just(ALL),
    st.builds(Choice, filter=st.sampled_from(sorted(FILTERS))),
    st.builds(Choice, key=KEYS),
    st.builds(Choice, filter=st.none() | st.sampled_from(sorted(FILTERS)), partition=PARTITIONS),
)


@dataclass(frozen=True)
class ReadPage:
    """One page, by long poll where `live`."""

    live: bool
    limit: int
    max_bytes: int
    meanwhile: list[Happening]


@dataclass(frozen=True)
class Follow:
    """A live connection, which is left open and unread after its legs.

    A leg is what happens while the reader stalls, what happens while it reads, and how many chunks it reads.
    """

    transport: str
    credit: int
    legs: list[tuple[list[Happening], list[Happening], int]]


PAGES = st.builds(ReadPage, st.booleans(), LIMITS, BYTES, HAPPENINGS)
LEGS = st.lists(st.tuples(HAPPENINGS, HAPPENINGS, CHUNKS), min_size=1, max_size=3)
STREAMS = st.builds(Follow, st.sampled_from(sorted(TRANSPORTS)), LIMITS, LEGS)


class ManyWays(RuleBasedStateMachine):
    """A log that is written, two gateways that serve it, and one reader. What the reader checks is the test."""

    def __init__(self, runner: asyncio.Runner, kafka: str, feeds: Path) -> None:
        super().__init__()
        self._runner = runner
        self._kafka = kafka
        self._feeds = feeds
        self._floods = 0
        self._failed = False

    def _run(self, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            self._runner.run(within(work, what))
        except BaseException:
            self._failed = True
            raise

    @initialize(partitions=st.integers(1, 2), ring_bytes=st.sampled_from([2**24, 100_000, 10_000]))
    def begin(self, partitions: int, ring_bytes: int) -> None:
        topic = write_feed(self._feeds, f"one.{uuid.uuid4().hex[:12]}", partitions=partitions)
        admin = AdminClient({"bootstrap.servers": self._kafka})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
        self._log = WrittenLog(self._kafka, topic, partitions)
        self._gateways = [Gateway(self._kafka, self._feeds, ring_bytes) for _ in range(2)]
        self._run(self._start(), "the gateways to start")

    async def _start(self) -> None:
        for gateway in self._gateways:
            await gateway.start()
        self._http = aiohttp.ClientSession()
        self._reader = OneReader(self._log, self._http)

    # What happens to the log and the gateways

    async def _happen(self, happenings: Iterable[Happening]) -> None:
        for happening in happenings:
            await within(self._one_happens(happening), f"{happening} to happen")

    async def _one_happens(self, happening: Happening) -> None:
        match happening:
            case Write():
                if happening.count == FLOOD_EVENTS:
                    self._floods += 1
                    if self._floods > MOST_FLOODS:
                        return
                await self._write(happening, happening.count, happening.padding_bytes)
            case Trickle():
                for _ in range(happening.count):
                    await self._write(happening, 1, 0)
            case Grow():
                if len(self._log.partitions) < MOST_PARTITIONS:
                    await asyncio.to_thread(self._log.grow)
                    added = len(self._log.partitions) - 1
                    await asyncio.to_thread(self._log.write, added, 5, happening.kind, happening.key, 0)
            case Restart():
                await self._gateways[happening.gateway].stop()
                await self._gateways[happening.gateway].start()

    async def _write(self, what: Write | Trickle, count: int, padding_bytes: int) -> None:
        partition = what.partition % len(self._log.partitions)
        await asyncio.to_thread(self._log.write, partition, count, what.kind, what.key, padding_bytes)

    # What the reader does

    def _known(self, choice: Choice) -> Choice:
        """The choice, of a partition that there is."""
        if choice.partition is None:
            return choice
        return Choice(choice.filter, choice.key, choice.partition % len(self._log.partitions))

    @rule(gateway=GATEWAYS, choice=CHOICES, before=HAPPENINGS, way=st.one_of(PAGES, STREAMS, STREAMS))
    def read(self, gateway: int, choice: Choice, before: list[Happening], way: ReadPage | Follow) -> None:
        self._run(self._happen(before), "what happens before")
        url, choice = self._gateways[gateway].url, self._known(choice)
        if isinstance(way, ReadPage):
            self._run(self._read_page(url, choice, way), "a page")
            return
        self._run(self._reader.follow(way.transport, url, choice, way.credit), f"a connection by {way.transport}")
        for stalled, meanwhile, chunks in way.legs:
            self._run(self._go_on(stalled, meanwhile, chunks), f"chunks by {way.transport}")

    async def _read_page(self, url: str, choice: Choice, way: ReadPage) -> None:
        ask = self._reader.long_poll if way.live else self._reader.pull
        page = ask(url, choice, limit=way.limit, max_bytes=way.max_bytes)
        await asyncio.gather(page, self._happen(way.meanwhile))

    async def _go_on(self, stalled: list[Happening], meanwhile: list[Happening], chunks: int) -> None:
        """While something happens the reader does not read; while more happens it does."""
        await self._happen(stalled)
        happening = asyncio.ensure_future(self._happen(meanwhile))
        while (chunks := await self._reader.take(chunks)) and not happening.done():
            await asyncio.wait([happening], timeout=0.002)  # there may be more to read
        await happening

    # The end

    def teardown(self) -> None:
        if hasattr(self, "_reader"):
            try:
                if not self._failed:
                    self._run(self._read_to_the_end(), "the reader to come to the end")
            finally:
                self._run(self._stop(), "all to stop")
                let_go()

    async def _read_to_the_end(self) -> None:
        """The reader gets what is left; then one more at each gateway reads all of it, however that came there."""
        for url, reader in [
            (self._gateways[0].url, self._reader),
            *((gateway.url, OneReader(self._log, self._http)) for gateway in self._gateways),
        ]:

            async def at_the_end(url: str = url, reader: OneReader = reader) -> bool:
                await reader.pull(url, ALL, limit=10_000)
                return reader.position == self._log.end

            await until(at_the_end)  # a partition that was added is seen after a while

    async def _stop(self) -> None:
        await self._reader.leave()
        for gateway in self._gateways:
            await gateway.stop()
        await self._http.close()


def test_one_reader_sees_exactly_the_log_whatever_it_does(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "feeds").mkdir()
    # Most of the time would go in waiting for these: until a partition is seen, and for clients that read nothing.
    monkeypatch.setattr(tail, "WATCH_S", 0.5)
    monkeypatch.setattr(endpoint, "CLOSE_WAIT_S", 0.5)
    chosen = settings(
        max_examples=EXAMPLES or 6,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    with asyncio.Runner() as runner:

        class Here(ManyWays):
            def __init__(self) -> None:
                super().__init__(runner, kafka, tmp_path)

        run_state_machine_as_test(Here, settings=chosen)
