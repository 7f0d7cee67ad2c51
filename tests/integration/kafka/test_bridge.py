"""The producer bridge against a real Kafka."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import KafkaError
from prometheus_client import REGISTRY
from support.records import records_of
from support.waiting import until

from headrace.kafka.bridge import Ack, Outgoing, ProducerBridge, QueueFull, Undelivered

MakeTopic = Callable[..., str]


@pytest.fixture
async def bridge(kafka: str) -> AsyncIterator[ProducerBridge]:
    made = ProducerBridge({"bootstrap.servers": kafka}, name="test")
    yield made
    await made.close()


async def test_acknowledgements_say_where_the_records_lie(
    kafka: str, new_topic: MakeTopic, bridge: ProducerBridge
) -> None:
    topic = new_topic(partitions=3)
    records = [Outgoing(topic, b"k%d" % n, b"v%d" % n, [("h", b"%d" % n), ("none", None)]) for n in range(300)]
    acks = await bridge.write(records)
    written = {(r.partition(), r.offset()): r for r in records_of(kafka, topic, 300)}
    for record, ack in zip(records, acks, strict=True):
        found = written[ack.partition, ack.offset]
        assert (found.key(), found.value(), found.headers()) == (record.key, record.value, record.headers)
    assert bridge.waiting_bytes == 0


async def test_each_request_has_its_own_results(new_topic: MakeTopic, bridge: ProducerBridge) -> None:
    topic = new_topic()
    answers = await asyncio.gather(*(bridge.write([Outgoing(topic, None, b"%d" % n)] * (n % 4)) for n in range(100)))
    assert [len(acks) for acks in answers] == [n % 4 for n in range(100)]
    offsets = [ack.offset for acks in answers for ack in acks]
    assert sorted(offsets) == list(range(len(offsets)))


async def test_records_of_one_partition_keep_their_order(
    kafka: str, new_topic: MakeTopic, bridge: ProducerBridge
) -> None:
    topic = new_topic()
    futures = [bridge.send([Outgoing(topic, b"k", b"%d" % (10 * n + m)) for m in range(10)]) for n in range(200)]
    await asyncio.gather(*futures)
    assert [int(r.value() or b"") for r in records_of(kafka, topic, 2000)] == list(range(2000))


async def test_of_a_request_only_what_kafka_refuses_fails(new_topic: MakeTopic, bridge: ProducerBridge) -> None:
    topic = new_topic(config={"max.message.bytes": "2000"})
    await bridge.write([Outgoing(topic, None, b"first")])
    incompressible = os.urandom(5000)
    results = [(await bridge.send([Outgoing(topic, None, value)]))[0] for value in (b"a", incompressible, b"b")]
    assert [isinstance(result, Ack) for result in results] == [True, False, True]
    assert isinstance(results[1], KafkaError)
    assert results[1].code() == KafkaError.MSG_SIZE_TOO_LARGE


async def test_what_librdkafka_does_not_take_fails_alone(new_topic: MakeTopic, bridge: ProducerBridge) -> None:
    topic = new_topic()
    odd: list[Any] = [
        Outgoing(topic, None, b"x" * 2_000_000),
        Outgoing(topic, None, b"a", [("h", "\udc80")]),
        Outgoing(topic, None, b"a", partition=7),
    ]
    codes = [KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._INVALID_ARG, KafkaError._UNKNOWN_PARTITION]
    good = Outgoing(topic, None, b"good")
    results = await asyncio.wait_for(bridge.send([good, *odd, good]), 15)
    assert [r.code() if isinstance(r, KafkaError) else "ok" for r in results] == ["ok", *codes, "ok"]
    assert bridge.waiting_bytes == 0
    with pytest.raises(Undelivered):
        await bridge.write(odd[:1])


async def test_a_full_queue_refuses_a_request_whole(kafka: str, new_topic: MakeTopic) -> None:
    topic = new_topic()
    bridge = ProducerBridge({"bootstrap.servers": kafka}, name="small", queue_bytes=10_000, linger_ms=200)
    first = bridge.send([Outgoing(topic, None, b"x" * 5000)])
    with pytest.raises(QueueFull):
        bridge.send([Outgoing(topic, None, b"y" * 3000)] * 2)
    second = bridge.send([Outgoing(topic, None, b"z")])
    await asyncio.gather(first, second)
    # What alone is larger than the queue has to go through some time.
    await bridge.write([Outgoing(topic, None, b"w" * 3000)] * 20)
    await bridge.close()
    assert {(r.value() or b"")[:1] for r in records_of(kafka, topic, 22)} == {b"x", b"z", b"w"}


async def test_closing_waits_for_what_was_sent(kafka: str, new_topic: MakeTopic) -> None:
    topic = new_topic(partitions=4)
    for _ in range(5):
        bridge = ProducerBridge({"bootstrap.servers": kafka}, name="closing", linger_ms=50)
        futures = [bridge.send([Outgoing(topic, None, b"v")] * 20) for _ in range(100)]
        assert await bridge.close() == 0
        for results in await asyncio.wait_for(asyncio.gather(*futures), 5):
            assert all(isinstance(result, Ack) for result in results)


async def test_closing_does_not_wait_for_ever() -> None:
    bridge = ProducerBridge({"bootstrap.servers": "127.0.0.1:1"}, name="nowhere", delivery_timeout_s=2)
    future = bridge.send([Outgoing("t", None, b"v")] * 3)
    assert await asyncio.wait_for(bridge.close(0.3), 5) == 3
    assert not future.done()
    await asyncio.wait_for(future, 10)


async def test_a_broker_that_is_away_is_a_verdict_within_the_delivery_time_out() -> None:
    bridge = ProducerBridge({"bootstrap.servers": "127.0.0.1:1"}, name="away", delivery_timeout_s=1)
    [result] = await asyncio.wait_for(bridge.send([Outgoing("t", None, b"v")]), 10)
    assert isinstance(result, KafkaError)
    assert result.code() == KafkaError._MSG_TIMED_OUT
    assert bridge.trouble() == "no Kafka broker can be reached"
    assert await bridge.close() == 0


def _fail_fatally(bridge: ProducerBridge) -> None:
    """Raise a fatal error in librdkafka itself, by the function that it has for tests."""
    producer = bridge._session._producer
    [path] = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "librdkafka" in line}
    handle = ctypes.c_void_p.from_address(id(producer) + object.__basicsize__)
    trigger = ctypes.CDLL(path).rd_kafka_test_fatal_error
    trigger.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    trigger(handle, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"test")


async def test_after_a_fatal_error_the_next_request_has_a_new_producer(
    kafka: str, new_topic: MakeTopic, bridge: ProducerBridge
) -> None:
    topic = new_topic()
    await bridge.write([Outgoing(topic, None, b"before")])
    failed = bridge._session
    _fail_fatally(bridge)
    # What was handed to the failed producer has its verdict; nothing waits for ever.
    pending = [bridge.send([Outgoing(topic, None, b"during")]) for _ in range(10)]
    await asyncio.wait_for(asyncio.gather(*pending), 10)
    await until(lambda: failed.fatal is not None, 10)
    await asyncio.wait_for(bridge.write([Outgoing(topic, None, b"after")]), 10)
    assert bridge._session is not failed
    await until(lambda: not failed._thread.is_alive(), 10)
    assert {r.value() for r in records_of(kafka, topic, 2)} >= {b"before", b"after"}
    assert bridge.waiting_bytes == 0


async def test_statistics_become_metrics(new_topic: MakeTopic, bridge: ProducerBridge) -> None:
    await bridge.write([Outgoing(new_topic(), None, b"v")])

    def brokers_up() -> float | None:
        return REGISTRY.get_sample_value("headrace_rdkafka_brokers_up", {"client": "test"})

    await until(lambda: (brokers_up() or 0) >= 1, 15)
    assert REGISTRY.get_sample_value("headrace_rdkafka_queue_messages", {"client": "test"}) == 0
    assert REGISTRY.get_sample_value("headrace_producer_queue_bytes", {"client": "test"}) == 0
    assert bridge.trouble() is None


_murmur2: Callable[[bytes], int] = murmur2

# From org.apache.kafka.common.utils.UtilsTest.
JAVA: dict[bytes, int] = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


async def test_keys_go_to_the_partitions_that_java_would_choose(new_topic: MakeTopic, bridge: ProducerBridge) -> None:
    topic = new_topic(partitions=7)
    acks = await bridge.write([Outgoing(topic, key, b"v") for key in JAVA])
    assert [ack.partition for ack in acks] == [(number & 0x7FFFFFFF) % 7 for number in JAVA.values()]
    keys = [b"", b"\0", "Grüße".encode(), *(b"N%05d" % n for n in range(200))]
    acks = await bridge.write([Outgoing(topic, key, b"v") for key in keys])
    assert [ack.partition for ack in acks] == [(_murmur2(key) & 0x7FFFFFFF) % 7 for key in keys]
