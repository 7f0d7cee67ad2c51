"""The worker killed in the middle of batches: nothing is missing, little is repeated, no dead letter is lost."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from confluent_kafka import KafkaError, Message, Producer
from faults.stage import DEPARTURES, ENRICHED, Stage
from faults.traffic import as_read, departure
from support.records import records_of

from headrace.schemas.event import Event, to_headers

pytestmark = pytest.mark.faults

Poison = dict[tuple[int, int], tuple[bytes, bytes]]
"""Id and value of records that cannot be processed, by partition and offset."""

KILLS = 2
ROWS = 16_000
"""Departures that are written around each kill."""

BEFORE_KILL = 5_000
"""Flights that are enriched before it."""

POISON_EVERY = 200
COMMIT_S = 1.0
UNCOMMITTED_S = COMMIT_S + 1.0
"""What came out longer ago than this is committed: the interval, and what a commit takes on a busy machine."""


async def test_a_worker_killed_mid_batch_loses_nothing_and_repeats_what_was_not_committed(
    stage: Stage, rounds: int
) -> None:
    worker = stage.service("worker", HEADRACE_COMMIT_INTERVAL_S=str(COMMIT_S))
    await stage.ready()
    most = 0
    poison: Poison = {}
    for number in range(KILLS * rounds):
        # All before is committed, and so may not come again.
        writing = asyncio.ensure_future(asyncio.to_thread(write, stage, number * ROWS))
        samples = [(time.monotonic(), await stage.end(ENRICHED))]
        while samples[-1][1] < samples[0][1] + BEFORE_KILL:
            samples.append((time.monotonic(), await stage.end(ENRICHED)))
            assert samples[-1][0] < samples[0][0] + 60, f"the worker does not go on: {samples[-1]}"
        killed_s = await worker.kill()
        committed_by = max((end for at_s, end in samples if at_s <= killed_s - UNCOMMITTED_S), default=samples[0][1])
        most += await settled(stage) - committed_by
        poison |= await writing
        await all_committed(stage)
    stage.forget(stage.pulled)
    stage.forget(stage.pushed)
    await stage.stop()
    enriched = await stage.read(ENRICHED)
    accounts = stage.ledger.check()
    print(accounts, f"at most {most} repeats")
    assert enriched.account.repeats <= most
    letters = records_of(stage.broker.bootstrap_servers, f"{DEPARTURES}.dead", len(poison))
    found = {}
    for letter in letters:
        headers = dict(letter.headers() or [])
        origin = (int(headers["ce_deadletterpartition"] or -1), int(headers["ce_deadletteroffset"] or -1))
        assert headers["ce_deadlettertopic"] == DEPARTURES.encode()
        assert headers["ce_deadletterreason"]
        found[origin] = (headers["ce_id"], letter.value())
    assert found == poison
    assert worker.crashes == []


async def all_committed(stage: Stage) -> None:
    """Wait until the worker has committed all departures."""
    total = await stage.end(DEPARTURES)

    async def done() -> bool:
        return await asyncio.to_thread(stage.committed, DEPARTURES) == total

    await stage.until(done, every_s=0.2)


async def settled(stage: Stage) -> int:
    """The enriched flights once Kafka has also taken what the dead worker had sent last."""
    ends = [-1]

    async def same() -> bool:
        ends.append(await stage.end(ENRICHED))
        return ends[-1] == ends[-2]

    await stage.until(same, every_s=1.0)
    return ends[-1]


def write(stage: Stage, first: int) -> Poison:
    """Write departures, and among them records that cannot be processed; gives those."""
    producer = Producer(
        {
            "bootstrap.servers": stage.broker.bootstrap_servers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
        }
    )
    codec = stage.catalogue[DEPARTURES].codec
    poison: Poison = {}

    def delivered(event_id: str, bad: bool, value: bytes, error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        place = (message.partition() or 0, message.offset() or 0)
        if bad:
            poison[place] = (event_id.encode(), value)
        else:
            stage.ledger.acknowledged(event_id, place)

    attributes = ("flights.departure", "/test", "2013-01-01T00:00:00Z")
    for number in range(first, first + ROWS):
        bad = number % POISON_EVERY == 7
        event_id, key = f"{'poison' if bad else 'flight'}-{number}", f"N{number % 500}"
        data = departure(number, key)
        if not bad:
            stage.ledger.produced(event_id, key, as_read(stage.catalogue, data))
        value = b"not a departure" if bad else codec.encode(data)
        headers = to_headers(Event(event_id, *attributes), codec.content_type)
        producer.produce(DEPARTURES, value, key, headers=headers, on_delivery=partial(delivered, event_id, bad, value))
        producer.poll(0)
    assert producer.flush(30) == 0
    return poison
