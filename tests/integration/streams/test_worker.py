"""What must hold of every stream, whatever it does: nothing is stepped over, and a quiet end repeats nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from support.running import service
from support.waiting import until

from headrace.kafka.bridge import Undelivered
from headrace.streams.worker import BadApp, load_app

from .conftest import Stream

NewStream = Callable[..., Stream]


async def test_what_comes_in_goes_out_in_order_and_is_committed(new_stream: NewStream) -> None:
    stream = new_stream()
    values = [f"v{n}" for n in range(10_000)]
    stream.write(*values)
    async with service(stream.worker()):
        await until(lambda: stream.committed() == 10_000)
    assert stream.read(10_000) == values


async def test_a_quiet_end_commits_all_that_was_done_and_the_next_worker_repeats_nothing(
    new_stream: NewStream,
) -> None:
    stream = new_stream()
    for n in range(3):
        stream.write(*(f"v{n}-{i}" for i in range(1000)))
        async with service(stream.worker()):
            await until(lambda n=n: stream.end() >= 1000 * (n + 1))  # type: ignore[misc]
        assert stream.committed() == stream.end() == 1000 * (n + 1)


async def test_an_exception_stops_the_worker_and_nothing_is_stepped_over(new_stream: NewStream) -> None:
    stream = new_stream()
    stream.write("a", "b")
    worker = stream.worker()
    async with service(worker):
        await until(lambda: stream.committed() == 2)
        stream.write("poison", "c")
        with pytest.raises(RuntimeError, match="poison"):
            await asyncio.wait_for(worker.failed(), 30)
        assert worker.trouble() is not None
    assert stream.committed() == 2
    assert stream.end() == 2


async def test_output_that_kafka_refuses_stops_the_worker_and_is_not_committed_over(new_stream: NewStream) -> None:
    stream = new_stream(**{"max.message.bytes": "1000"})
    stream.write("a", "b")
    worker = stream.worker()
    async with service(worker):
        await until(lambda: stream.committed() == 2)
        stream.write("huge", "c")
        with pytest.raises(Undelivered):
            await asyncio.wait_for(worker.failed(), 60)
    assert stream.committed() == 2


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_read(new_stream: NewStream, codec: str) -> None:
    stream = new_stream()
    stream.write(*(f"v{n}" for n in range(100)), **{"compression.type": codec, "linger.ms": "100"})
    async with service(stream.worker()):
        await until(lambda: stream.committed() == 100)
    assert stream.end() == 100


async def test_aborted_transactions_are_not_processed_and_their_gaps_are_passed(new_stream: NewStream) -> None:
    stream = new_stream()
    producer = Producer({"bootstrap.servers": stream.kafka, "transactional.id": stream.name})
    await asyncio.to_thread(producer.init_transactions, 20)
    for n in range(6):
        producer.begin_transaction()
        producer.produce(stream.source, f'"v{n}"', partition=0)
        producer.flush(10)
        if n % 2:
            producer.abort_transaction(10)
        else:
            producer.commit_transaction(10)
    stream.write("last")
    async with service(stream.worker()):
        await until(lambda: stream.end() >= 4)
        await until(lambda: stream.committed() == 13)
    assert stream.read(4) == ["v0", "v2", "v4", "last"]


async def test_two_workers_share_the_partitions_and_hand_over_without_a_loss(new_stream: NewStream) -> None:
    stream = new_stream()
    written = 0

    def write() -> None:
        nonlocal written
        stream.write(*(f"v{n}" for n in range(written, written + 500)))
        written += 500

    async with service(stream.worker()):
        write()
        await until(lambda: stream.end() >= 500)
        async with service(stream.worker()):
            write()
            await until(lambda: stream.end() >= 1000)
        write()
        await until(lambda: stream.committed() == 1500)
    values = stream.read(stream.end())
    assert list(dict.fromkeys(values)) == [f"v{n}" for n in range(1500)]


def test_an_app_that_is_none_is_told() -> None:
    with pytest.raises(BadApp, match="module:function"):
        load_app("no.such:thing")
    with pytest.raises(BadApp, match="module:function"):
        load_app("headrace.settings")
