from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from support.waiting import until

from headrace import metrics
from headrace.kafka.offsets import UnknownTopic
from headrace.kafka.table import Table


def put(servers: str, topic: str, *records: tuple[str | None, bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": servers, "max.in.flight": 1})
    for key, value in records:
        producer.produce(topic, value, key)
    assert producer.flush(30) == 0


@contextlib.asynccontextmanager
async def table_of(
    servers: str, topic: str, on_change: Callable[[str, Any], None] | None = None
) -> AsyncIterator[Table[Any]]:
    client: dict[str, Any] = {"bootstrap.servers": servers}
    table: Table[Any] = Table(client, AdminClient(client), topic, lambda value: orjson.loads(value)["n"], on_change)
    try:
        yield table
    finally:
        await table.close()


async def test_it_loads_the_latest_value_of_every_key_and_follows(kafka: str, new_topic: Callable[..., str]) -> None:
    topic = new_topic(3, {"cleanup.policy": "compact"})
    put(kafka, topic, *((f"k{n % 50}", b'{"n":%d}' % n) for n in range(500)))
    async with table_of(kafka, topic) as table:
        await table.load()
        assert dict(table) == {f"k{n % 50}": n for n in range(450, 500)}
        for number in range(10):
            put(kafka, topic, ("k1", b'{"n":%d}' % -number))
            await table.catch_up()
            assert table["k1"] == -number


async def test_a_tombstone_removes_its_key(kafka: str, new_topic: Callable[..., str]) -> None:
    topic = new_topic(2)
    put(kafka, topic, ("a", b'{"n":1}'), ("b", b'{"n":2}'), ("a", None), ("c", None))
    changes: list[tuple[str, Any]] = []
    async with table_of(kafka, topic, lambda key, value: changes.append((key, value))) as table:
        await table.load()
        assert dict(table) == {"b": 2}
        put(kafka, topic, ("b", None))
        await until(lambda: not table)
        assert sorted(changes, key=str) == sorted([("a", 1), ("b", 2), ("a", None), ("c", None), ("b", None)], key=str)


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b'{"m":1}', b"\xff"])
async def test_a_bad_record_is_skipped_and_counted_and_leaves_its_key_as_it_was(
    kafka: str, new_topic: Callable[..., str], bad: bytes
) -> None:
    topic = new_topic(1)
    put(kafka, topic, ("a", b'{"n":1}'), ("a", bad), ("b", bad), ("c", b'{"n":3}'), (None, b'{"n":4}'))
    before = metrics.errors.labels("table")._value.get()
    async with table_of(kafka, topic) as table:
        await table.load()
        assert dict(table) == {"a": 1, "c": 3, "": 4}
        assert table.unreadable == {"a", "b"}
        assert metrics.errors.labels("table")._value.get() == before + 2
        put(kafka, topic, ("a", b'{"n":2}'), ("b", None))
        await table.catch_up()
        assert table.unreadable == set()


async def test_a_change_that_nobody_can_use_does_not_stop_the_others(kafka: str, new_topic: Callable[..., str]) -> None:
    topic = new_topic(1)
    changes = []

    def on_change(key: str, value: Any) -> None:
        if key == "bad":
            raise RuntimeError("no use for this")
        changes.append(key)

    put(kafka, topic, ("a", b'{"n":1}'), ("bad", b'{"n":2}'), ("c", b'{"n":3}'))
    async with table_of(kafka, topic, on_change) as table:
        await table.load()
        assert dict(table) == {"a": 1, "bad": 2, "c": 3}
        assert changes == ["a", "c"]


async def test_an_empty_topic_loads_at_once_and_a_missing_one_is_unknown(
    kafka: str, new_topic: Callable[..., str]
) -> None:
    async with table_of(kafka, new_topic(4)) as table:
        await table.load()
        assert len(table) == 0
        assert "a" not in table
    async with table_of(kafka, "no-such-topic") as table:
        with pytest.raises(UnknownTopic):
            await table.load()


async def test_transactions_leave_only_what_was_committed(kafka: str, new_topic: Callable[..., str]) -> None:
    topic = new_topic(1)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(30)
    changes: list[tuple[str, Any]] = []
    async with table_of(kafka, topic, lambda key, value: changes.append((key, value))) as table:
        await table.load()
        for number in range(6):
            producer.begin_transaction()
            producer.produce(topic, b'{"n":%d}' % number, "a")
            if number % 2:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
            wanted = number - number % 2
            await until(lambda wanted=wanted: table.get("a") == wanted)  # type: ignore[misc]
        seen = [value for _, value in changes]
        assert seen == [0, 2, 4]
