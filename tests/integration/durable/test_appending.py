"""Appending: each message once, and in one order, through however many gateways it comes."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import orjson
import pytest

from headrace.durable.streams import Streams

helpers: Any = importlib.import_module("integration.durable.conftest")
producer = helpers.producer


async def test_an_array_is_taken_apart_one_level_deep_and_values_keep_their_text(gateway: Any) -> None:
    name = await gateway.made("application/json", b'[{"n": 1.0}, [[1, 2]]]')
    body = b'[12345678901234567890123, "\\u00e9,]",\n {"a": [\r\n1e2]}]'
    assert (await gateway.append(name, body, Content_Type="Application/JSON; charset=utf-8")).status == 204
    assert (await gateway.append(name, b' {"one":1} ', Content_Type="application/json")).status == 204
    expected = b'[{"n": 1.0},[[1, 2]],12345678901234567890123,"\\u00e9,]",{"a": [  1e2]},{"one":1}]'
    assert await gateway.read(name) == expected


async def test_a_retry_is_answered_alike_by_every_gateway_and_written_once(gateway: Any, other: Any) -> None:
    name = await gateway.made()
    first = await gateway.append(name, b"a", **producer(0, 0))
    assert (first.status, first.headers["Producer-Seq"]) == (200, "0")
    for again in (gateway, other):
        retry = await again.append(name, b"a", **producer(0, 0))
        assert (retry.status, retry.headers["Producer-Epoch"], retry.headers["Producer-Seq"]) == (204, "0", "0")
        assert retry.offset == first.offset
    assert (await other.append(name, b"b", **producer(0, 1))).status == 200
    assert (await gateway.append(name, b"c", **producer(0, 2))).status == 200
    old = await other.append(name, b"a", **producer(0, 0))
    assert (old.status, old.headers["Producer-Seq"]) == (204, "2")
    assert await other.read(name) == b"abc"


async def test_what_one_gateway_was_told_of_a_producer_holds_at_the_other(gateway: Any, other: Any) -> None:
    name = await gateway.made()
    assert (await gateway.append(name, b"a", **producer(0, 0))).status == 200
    gap = await other.append(name, b"c", **producer(0, 2))
    assert gap.status == 409
    assert (gap.headers["Producer-Expected-Seq"], gap.headers["Producer-Received-Seq"]) == ("1", "2")
    assert (await other.append(name, b"b", **producer(1, 3))).status == 400
    assert (await other.append(name, b"b", **producer(1, 0))).status == 200
    stale = await gateway.append(name, b"zombie", **producer(0, 1))
    assert (stale.status, stale.headers["Producer-Epoch"]) == (403, "1")
    assert (await gateway.append(name, b"x", **producer(0, 1, "another"))).status == 409
    assert await gateway.read(name) == b"ab"


async def test_appends_through_two_gateways_at_once_are_each_there_once(gateway: Any, other: Any) -> None:
    name = await gateway.made("application/json")

    async def write(through: Any, who: str) -> None:
        for n in range(15):
            sent = await through.append(name, orjson.dumps([[who, n]]), Content_Type="application/json")
            assert sent.status == 204, sent.body

    writers = [(gateway, "a"), (other, "b"), (gateway, "c"), (other, "d")]
    await asyncio.gather(*(write(*writer) for writer in writers))
    read = orjson.loads(await other.read(name))
    assert len(read) == 60
    for _, who in writers:
        assert [n for w, n in read if w == who] == list(range(15))
    assert await gateway.read(name) == await other.read(name)


async def test_one_producer_that_sends_everything_to_both_gateways_is_written_once(gateway: Any, other: Any) -> None:
    name = await gateway.made()
    for n in range(20):
        answers = await asyncio.gather(
            *(through.append(name, b"%d," % n, **producer(0, n)) for through in (gateway, other, gateway))
        )
        assert sorted(answer.status for answer in answers) == [200, 204, 204]
    assert await gateway.read(name) == b"".join(b"%d," % n for n in range(20))


async def test_a_gateway_that_begins_anew_knows_every_producer(gateway: Any, start_gateway: Any) -> None:
    async with start_gateway() as first:
        name = await first.made()
        assert (await first.append(name, b"a", Stream_Seq="1", **producer(4, 0))).status == 200
    async with start_gateway() as second:
        assert (await second.append(name, b"a", Stream_Seq="1", **producer(4, 0))).status == 204
        assert (await second.append(name, b"b", Stream_Seq="1", **producer(4, 1))).status == 409
        assert (await second.append(name, b"b", Stream_Seq="2", **producer(4, 1))).status == 200
        assert (await second.append(name, b"c", **producer(3, 0))).status == 403
    assert await gateway.read(name) == b"ab"


async def test_stream_seq_only_rises_whichever_gateway_is_asked(gateway: Any, other: Any) -> None:
    name = await gateway.made()
    assert (await gateway.append(name, b"1", Stream_Seq="b")).status == 204
    for seq in ("b", "a", "B"):
        assert (await other.append(name, b"2", Stream_Seq=seq)).status == 409
    answers = await asyncio.gather(*(through.append(name, b"3", Stream_Seq="c") for through in (gateway, other)))
    assert sorted(answer.status for answer in answers) == [204, 409]
    assert await gateway.read(name) == b"13"


async def test_nothing_comes_after_the_close_and_what_was_acknowledged_is_before_it(gateway: Any, other: Any) -> None:
    for _ in range(3):
        name = await gateway.made()
        written: list[bytes] = []

        async def write(through: Any, who: bytes, name: str = name, written: list[bytes] = written) -> None:
            for n in range(100):
                message = who + b"%d," % n
                sent = await through.append(name, message)
                if sent.status == 409:
                    assert sent.headers["Stream-Closed"] == "true"
                    return
                assert sent.status == 204, sent.body
                written.append(message)

        writing = [asyncio.ensure_future(write(gateway, b"a")), asyncio.ensure_future(write(other, b"b"))]
        await asyncio.sleep(0)
        assert (await other.append(name, b"first", **producer(0, 0))).status == 200
        closed = await other.append(name, b"last", Stream_Closed="true", **producer(0, 1))
        assert (closed.status, closed.headers["Stream-Closed"]) == (200, "true")
        await asyncio.gather(*writing)
        read = await gateway.read(name)
        assert read.endswith(b"last")
        assert sorted(filter(None, read.removesuffix(b"last").replace(b"first", b"").split(b","))) == sorted(
            message[:-1] for message in written
        )
        assert await other.read(name) == read


async def test_a_closed_stream_answers_what_it_was_closed_with(gateway: Any, other: Any) -> None:
    name = await gateway.made(body=b"a")
    closed = await gateway.append(name, b"", Stream_Closed="true")
    assert (closed.status, closed.headers["Stream-Closed"]) == (204, "true")
    for through in (gateway, other):
        assert (await through.append(name, b"", Stream_Closed="true")).status == 204
        refused = await through.append(name, b"b")
        assert (refused.status, refused.offset) == (409, closed.offset)
        assert (await through.call("HEAD", name)).headers["Stream-Closed"] == "true"


async def test_a_change_whose_answer_was_lost_is_not_made_twice(
    gateway: Any, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit succeeds, and its answer says that another process has fenced this one."""
    name = await gateway.made()
    assert (await gateway.append(name, b"a")).status == 204
    lost = _lose_one_answer(gateway.streams, name, monkeypatch)
    assert (await gateway.append(name, b"b")).status == 204
    assert lost == ["lost"]
    assert await other.read(name) == b"ab"


def _lose_one_answer(streams: Streams, name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from confluent_kafka import KafkaError, KafkaException

    from headrace.durable.stream import partition_of

    producer: Any = streams.table.definitions._writers[partition_of(name)]._producer
    commit = producer.commit
    lost: list[str] = []

    async def fenced(records: Any) -> Any:
        acks = await commit(records)
        if not lost:
            lost.append("lost")
            raise KafkaException(KafkaError(KafkaError.PRODUCER_FENCED))
        return acks

    monkeypatch.setattr(producer, "commit", fenced)
    return lost


async def test_a_stream_of_several_partitions_keeps_the_order_of_each_producer(gateway: Any) -> None:
    name = "s-several-partitions"
    assert (await gateway.call("PUT", name, query="partitions=3", Content_Type="application/json")).status == 201
    for n in range(5):
        for who in "abcd":
            body = orjson.dumps([[who, n]])
            sent = await gateway.append(name, body, Content_Type="application/json", **producer(0, n, who))
            assert sent.status == 200
    read = orjson.loads(await gateway.read(name))
    assert len(read) == 20
    for who in "abcd":
        assert [n for w, n in read if w == who] == list(range(5))
    assert (await gateway.call("PUT", name, query="partitions=2", Content_Type="application/json")).status == 409
