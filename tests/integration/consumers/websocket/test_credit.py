from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
from support.websocket import talking

from headrace.consumers.websocket.flow import DEFAULT_EVENTS

MakeFeed = Callable[..., str]
Serve = Callable[..., Any]
Write = Callable[..., None]


def size(event: dict[str, Any]) -> int:
    return len(orjson.dumps(event))


async def test_without_credit_nothing_is_sent(make_feed: MakeFeed, serve: Serve, write: Write) -> None:
    feed = make_feed()
    write(feed, [b"1"] * 10)
    async with serve() as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a", offset="-1", credit={"events": 0})
        await talk.say("subscribe", id="b", offset="-1", credit={"bytes": 0})
        await talk.say("subscribe", id="c", offset="-1")
        await talk.values(10, "c")
        await talk.quiet()
        assert talk.seen("a") == talk.seen("b") == []


async def test_the_default_credit_is_spent_once(make_feed: MakeFeed, serve: Serve, write: Write) -> None:
    feed = make_feed()
    write(feed, [b"%d" % n for n in range(DEFAULT_EVENTS + 10)])
    async with serve() as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a", offset="-1")
        await talk.values(DEFAULT_EVENTS, "a")
        await talk.say("subscribe", id="b", offset="-1", credit={"events": 2**53 - 1})
        await talk.values(DEFAULT_EVENTS + 10, "b")
        assert len(talk.seen("a")) == DEFAULT_EVENTS
        await talk.say("credit", id="a", events=10)
        assert await talk.values(DEFAULT_EVENTS + 10, "a") == list(range(DEFAULT_EVENTS + 10))


async def test_never_more_than_was_granted_in_events_or_in_bytes(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    feed, total = make_feed(2), 400
    for partition in range(2):
        values = [orjson.dumps([n, "x" * chance.randrange(500)]) for n in range(total)]
        write(feed, values, partition=partition)
    async with serve(ring_bytes=10_000) as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a", offset="-1", credit={"events": 0, "bytes": 0})
        await talk.hear("subscribed")
        events = size_bytes = 0
        while len(talk.seen("a")) < 2 * total:
            grant = {"events": chance.randrange(20), "bytes": chance.randrange(4000)}
            events += grant["events"]
            size_bytes += grant["bytes"]
            await talk.say("credit", id="a", **grant)
            await talk.quiet()
            sent = talk.events("a")
            assert len(sent) <= events, seed
            assert sum(map(size, sent)) <= size_bytes, seed
        for partition in range(2):
            found = [e["data"][0] for e in talk.events("a") if e["partition"] == partition]
            assert found == list(range(total)), seed


async def test_who_has_too_few_bytes_for_the_next_event_is_told_how_many_it_takes(
    make_feed: MakeFeed, serve: Serve, write: Write
) -> None:
    feed = make_feed()
    write(feed, [orjson.dumps("x" * 5000)])
    async with serve() as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a", offset="-1", credit={"bytes": 100})
        needed = (await talk.hear("blocked", "a"))["needed_bytes"]
        await talk.say("credit", id="a", bytes=needed - 101)
        await talk.quiet()
        assert talk.seen("a") == []
        await talk.say("credit", id="a", bytes=1)
        await talk.values(1, "a")
        assert size(talk.events("a")[0]) == needed
        assert [frame["type"] for frame in talk.frames].count("blocked") == 1
