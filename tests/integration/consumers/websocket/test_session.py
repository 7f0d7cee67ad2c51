from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from support.waiting import until
from support.websocket import ALL_CREDIT, Talk, talking

from headrace import metrics
from headrace.consumers.websocket.socket import Socket

MakeFeed = Callable[..., str]
Serve = Callable[..., Any]
Write = Callable[..., None]


def numbers(first: int, beyond: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, beyond)]


def followers(feed: str) -> float:
    return float(metrics.followers.labels(feed, "websocket")._value.get())


async def test_history_and_then_live_without_gap_or_repeat(make_feed: MakeFeed, serve: Serve, write: Write) -> None:
    feed = make_feed()
    write(feed, numbers(0, 3000))
    async with serve(ring_bytes=20_000) as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a", offset="-1", credit=ALL_CREDIT)
        for start in range(3000, 6000, 100):
            await asyncio.to_thread(write, feed, numbers(start, start + 100))
        assert await talk.values(6000, "a") == list(range(6000))
        assert talk.frames[0]["type"] == "subscribed"
        assert talk.frames[0]["feed"] == feed
        assert talk.frames[-1]["up_to_date"] is True
        event = talk.events("a")[0]
        assert event["specversion"] == "1.0"
        assert (event["partition"], int(event["sequence"])) == (0, 0)


async def test_the_offset_of_any_frame_resumes_exactly(make_feed: MakeFeed, serve: Serve, write: Write) -> None:
    feed = make_feed(3)
    for partition in range(3):
        write(feed, numbers(partition * 1000, partition * 1000 + 200), partition=partition)
    async with serve(ring_bytes=5_000) as url:
        seen: list[int] = []
        offset = "-1"
        while len(seen) < 600:
            async with talking(url, feed) as talk:
                await talk.say("subscribe", id="a", offset=offset, credit={"events": 7})
                offset = (await talk.hear("events"))["offset"]
                seen += talk.seen("a")
        assert sorted(seen) == [*range(200), *range(1000, 1200), *range(2000, 2200)]
        for partition in range(3):
            assert sorted(part := [n for n in seen if n // 1000 == partition]) == part


async def test_a_time_is_where_it_begins(make_feed: MakeFeed, serve: Serve, write: Write) -> None:
    feed = make_feed()
    write(feed, [b"1", b"2"])
    async with serve() as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a", from_="2001-01-01T00:00:00Z")
        assert await talk.values(2, "a") == [1, 2]
        await talk.say("subscribe", id="b", from_="2999-01-01T00:00:00Z")
        await talk.hear("up_to_date", "b")
        assert talk.seen("b") == []


async def until_up_to_date(talk: Talk, frame_id: str) -> None:
    if not any(frame["type"] == "up_to_date" and frame["id"] == frame_id for frame in talk.frames):
        await talk.hear("up_to_date", frame_id)


async def test_some_of_the_events_and_the_position_goes_past_the_others(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed(2)

    def numbered(first: int, beyond: int) -> None:
        for partition in (0, 1):
            write(feed, [b"%d" % n for n in range(first, beyond) if n % 2 == partition], partition=partition, key=b"k")

    numbered(0, 4000)
    chosen: dict[str, tuple[dict[str, Any], Callable[[int], bool]]] = {
        "filter": ({"filter": "data >= 3990"}, lambda n: n >= 3990),
        "partition": ({"partition": 1}, lambda n: n % 2 == 1),
        "both": ({"filter": "data < 10", "partition": 0}, lambda n: n < 10 and n % 2 == 0),
        "key": ({"key": "k"}, lambda n: True),
        "nobody's key": ({"key": "l"}, lambda n: False),
    }
    async with serve(ring_bytes=20_000, heartbeat_s=0.1) as url, talking(url, feed) as talk:
        for name, (choice, _) in chosen.items():
            await talk.say("subscribe", id=name, offset="-1", credit=ALL_CREDIT, **choice)
        await asyncio.to_thread(numbered, 4000, 4100)
        for name, (_, wanted) in chosen.items():
            expected = [n for n in range(4100) if wanted(n)]
            assert sorted(await talk.values(len(expected), name)) == expected
        # Nothing of this is wanted, and whoever comes again from there begins after it.
        await asyncio.to_thread(write, feed, [b"-1"], partition=1, key=b"m")
        async with aiohttp.ClientSession() as http, http.get(f"{url}/v1/feeds/{feed}") as answer:
            end = (await answer.json())["next_offset"]
        while (await talk.hear("up_to_date", "nobody's key"))["offset"] != end:
            pass
        assert talk.seen("nobody's key") == []


async def test_several_feeds_on_one_socket_and_one_of_them_left(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    one, two = make_feed(), make_feed()
    write(one, [b"1"])
    write(two, [b"2"])
    async with serve() as url, talking(url, one) as talk:
        await talk.say("subscribe", id="a", offset="-1")
        await talk.say("subscribe", id="b", feed=two, offset="-1")
        await talk.say("subscribe", id="c", feed=one)
        assert await talk.values(1, "a") == [1]
        assert await talk.values(1, "b") == [2]
        await until_up_to_date(talk, "c")
        await talk.say("unsubscribe", id="a")
        left = await talk.hear("unsubscribed", "a")
        await asyncio.to_thread(write, one, [b"3"])
        await asyncio.to_thread(write, two, [b"4"])
        assert await talk.values(2, "b") == [2, 4]
        assert await talk.values(1, "c") == [3]
        assert talk.seen("a") == [1]
        await talk.say("subscribe", id="a", offset=left["offset"])
        assert await talk.values(2, "a") == [1, 3]


async def test_who_is_up_to_date_is_told_so_though_there_is_no_event(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve() as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a")
        began = (await talk.hear("subscribed"))["offset"]
        assert (await talk.hear("up_to_date"))["offset"] == began


@pytest.mark.parametrize(
    ("frame", "status", "said"),
    [
        ("{", 400, "not JSON"),
        ("[]", 400, "does not fit"),
        ('{"type":"shout"}', 400, "does not fit"),
        ('{"type":"subscribe"}', 400, "does not fit"),
        ('{"type":"subscribe","id":"a","offset":"-1","from":"2020-01-01T00:00:00Z"}', 400, "does not fit"),
        ('{"type":"subscribe","id":"a","credit":{"events":-1}}', 400, "does not fit"),
        ('{"type":"subscribe","id":"a","credit":{"events":true}}', 400, "does not fit"),
        ('{"type":"subscribe","id":"a","offset":"nonsense"}', 400, "offset"),
        ('{"type":"subscribe","id":"a","feed":"nobody"}', 404, "nobody"),
        ('{"type":"subscribe","id":"a","filter":"data >"}', 400, "does not fit"),
        ('{"type":"subscribe","id":"a","partition":-1}', 400, "does not fit"),
        ('{"type":"subscribe","id":"a","partition":7}', 400, "partition"),
        ('{"type":"subscribe","id":"here"}', 409, "here"),
        ('{"type":"unsubscribe","id":"a"}', 404, "No subscription a"),
        ('{"type":"credit","id":"a","events":1}', 404, "No subscription a"),
        ('{"type":"publish","id":"a","events":[]}', 405, "only reads"),
    ],
)
async def test_a_bad_frame_is_answered_and_the_socket_stays(
    make_feed: MakeFeed, serve: Serve, write: Write, frame: str, status: int, said: str
) -> None:
    feed = make_feed()
    write(feed, [b"1"])
    async with serve() as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="here", credit={"events": 0})
        await talk.hear("subscribed")
        await talk.socket.send_str(frame)
        error = await talk.hear("error")
        assert error["problem"]["status"] == status
        assert said in error["problem"]["detail"]
        assert error["id"] in (None, "a", "here")
        await talk.say("subscribe", id="a", offset="-1")
        assert await talk.values(1, "a") == [1]


async def test_faults_are_told_with_pointers(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve() as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a", credit={"events": "many"}, more=1)
        errors = (await talk.hear("error", "a"))["problem"]["errors"]
        assert {error["pointer"] for error in errors} == {"/credit/events", "/more"}


async def test_a_socket_has_a_most_of_subscriptions(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve() as url, talking(url, feed) as talk:
        for number in range(101):
            await talk.say("subscribe", id=str(number), credit={"events": 0})
        assert (await talk.hear("error", "100"))["problem"]["status"] == 429
        await until(lambda: followers(feed) == 100)
    await until(lambda: followers(feed) == 0)


async def test_bytes_that_are_no_text_end_the_connection_with_1003(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve() as url, talking(url, feed) as talk:
        await talk.socket.send_bytes(b"{}")
        assert await talk.closed() == aiohttp.WSCloseCode.UNSUPPORTED_DATA


async def test_a_message_that_is_too_big_ends_the_connection_with_1009(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve(websocket_message_bytes=1000) as url, talking(url, feed) as talk:
        await talk.socket.send_str("x" * 1001)
        assert await talk.closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_pings_of_both_kinds_are_answered(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve() as url, talking(url, feed, autoping=False) as talk:
        await talk.socket.ping(b"a")
        message = await talk.socket.receive(5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"a")
        await talk.say("ping", id="x")
        assert await talk.next() == {"type": "pong", "id": "x"}
        await talk.say("ping")
        assert await talk.next() == {"type": "pong"}


async def test_a_quiet_socket_gets_heartbeats_of_both_kinds(make_feed: MakeFeed, serve: Serve) -> None:
    feed = make_feed()
    async with serve(heartbeat_s=0.1) as url, talking(url, feed, autoping=False) as talk:
        assert await talk.next() == {"type": "heartbeat"}
        assert (await talk.socket.receive(5)).type is aiohttp.WSMsgType.PING


async def test_a_position_that_is_gone_is_told_with_the_earliest(
    kafka: str, make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed()
    write(feed, numbers(0, 10))
    async with serve(ring_bytes=0) as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a", offset="-1", credit={"events": 3})
        old = (await talk.hear("events", "a"))["offset"]
        admin = AdminClient({"bootstrap.servers": kafka})
        place = TopicPartition(feed, 0, 6)
        admin.delete_records([place])[place].result()
        await talk.say("subscribe", id="b", offset=old)
        error = await talk.hear("error", "b")
        assert error["problem"]["status"] == 410
        await talk.say("subscribe", id="b", offset=error["problem"]["earliest_offset"])
        assert await talk.values(4, "b") == [6, 7, 8, 9]


async def test_a_topic_that_is_deleted_ends_its_subscriptions_alone(
    kafka: str, make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    one, two = make_feed(), make_feed()
    write(one, [b"1"])
    async with serve() as url, talking(url, two) as talk:
        await talk.say("subscribe", id="a", feed=one, offset="-1")
        await talk.say("subscribe", id="b")
        await talk.values(1, "a")
        admin = AdminClient({"bootstrap.servers": kafka})
        admin.delete_topics([one])[one].result()
        error = await talk.hear("error", "a")
        assert error["problem"]["status"] == 404
        await asyncio.to_thread(write, two, [b"2"])
        assert await talk.values(1, "b") == [2]


async def test_compression_is_agreed_on_and_nothing_else_changes(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed()
    write(feed, [orjson.dumps([n, "x" * 500]) for n in range(300)])
    async with serve() as url, talking(url, feed, compress=15) as talk:
        assert talk.socket.compress == 15
        await talk.say("subscribe", id="a", offset="-1", credit={"bytes": 2**30})
        assert [value[0] for value in await talk.values(300, "a")] == list(range(300))


async def test_a_client_that_does_not_read_costs_little_is_kept_and_gets_all_later(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed()
    total, padding = 20_000, "x" * 300
    async with serve(ring_bytes=200_000) as url, talking(url, feed) as quick, talking(url, feed) as slow:
        await slow.say("subscribe", id="a", credit=ALL_CREDIT)
        await slow.hear("up_to_date")
        await quick.say("subscribe", id="a", credit=ALL_CREDIT)
        await quick.hear("up_to_date")
        for start in range(0, total, 500):
            await asyncio.to_thread(write, feed, [orjson.dumps([n, padding]) for n in range(start, start + 500)])
            await quick.values(start + 500, "a")
        sizes = [s.transport.get_write_buffer_size() for s in gc.get_objects() if isinstance(s, Socket) and s.transport]
        assert len(sizes) == 2
        assert max(sizes) < 2**20  # of the 12 MB that it has not read
        assert [value[0] for value in await slow.values(total, "a")] == list(range(total))


async def test_a_client_that_asks_and_asks_and_does_not_read_is_not_listened_to(
    make_feed: MakeFeed, serve: Serve
) -> None:
    feed = make_feed()
    async with serve() as url, talking(url, feed) as talk:
        said = orjson.dumps({"type": "ping", "id": "x" * 100}).decode()

        async def ask_for_ever() -> None:
            while True:
                await talk.socket.send_str(said)

        asking = asyncio.ensure_future(ask_for_ever())
        sockets = [s for s in gc.get_objects() if isinstance(s, Socket) and s.transport is not None]
        assert len(sockets) == 1
        await until(lambda: sockets[0].full)
        transport = sockets[0].transport
        assert transport is not None
        assert not transport.is_reading()
        assert transport.get_write_buffer_size() < 2**20
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await talk.quiet()
