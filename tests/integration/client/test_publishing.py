from __future__ import annotations

import pytest
from integration.client.conftest import FeedFactory, Gateway

from headrace.client import BadRequest, Client, EventsRejected, FeedNotFound, NewEvent, TooLarge


async def test_the_same_idempotency_key_gives_the_same_ids(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    async with gateway() as url, Client(url) as client:
        once = await client.publish(feed, [{"n": 1}, {"n": 2}], idempotency_key="order-7")
        again = await client.publish(feed, [{"n": 1}, {"n": 2}], idempotency_key="order-7")
        single = await client.publish(feed, [{"n": 3}], idempotency_key="order-8")
        others = await client.publish(feed, [{"n": 1}, {"n": 2}])
    assert [w.id for w in once] == [w.id for w in again] == ["order-7/0", "order-7/1"]
    assert [w.offset for w in once] == [0, 1]
    assert [w.id for w in single] == ["order-8"]
    assert not {w.id for w in others} & {w.id for w in once}


async def test_events_keep_the_attributes_that_they_are_given(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed('key = "n"')
    mine = NewEvent(
        "order.placed",
        "/shop",
        {"n": 1},
        id="o-1",
        time="2026-01-02T03:04:05Z",
        subject="basket",
        extensions={"trace": "t1"},
    )
    async with gateway() as url, Client(url) as client:
        [written] = await client.publish(feed, [mine])
        [event] = (await client.pull(feed)).events
    assert (event.id, event.type, event.source) == ("o-1", "order.placed", "/shop")
    assert (event.time, event.subject, event.data) == ("2026-01-02T03:04:05Z", "basket", {"n": 1})
    assert event.raw["trace"] == "t1"
    assert (event.key, event.partition, event.sequence) == ("1", written.partition, written.offset)


async def test_events_that_were_read_can_be_written_to_another_feed(gateway: Gateway, new_feed: FeedFactory) -> None:
    origin, copy = new_feed(), new_feed()
    async with gateway() as url, Client(url) as client:
        await client.publish(origin, [{"n": n} for n in range(10)])
        events = (await client.pull(origin)).events
        await client.publish(copy, events)
        copied = (await client.pull(copy)).events
    assert [(e.id, e.time, e.data) for e in copied] == [(e.id, e.time, e.data) for e in events]


async def test_bytes_come_back_as_they_were_written(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed('format = "bytes"', 'media_type = "image/png"')
    pictures = [b"\x89PNG\x00", b"", b"\xff" * 100]
    async with gateway() as url, Client(url) as client:
        written = await client.publish(feed, pictures, idempotency_key="p")
        more = await client.publish(feed, [NewEvent("picture", "/camera", b"\x00\x01")])
        events = (await client.pull(feed)).events
    assert [event.data for event in events] == [*pictures, b"\x00\x01"]
    assert [w.id for w in written] == ["p/0", "p/1", "p/2"]
    assert events[-1].id == more[0].id


async def test_what_was_not_written_is_raised_with_the_verdict_on_every_event(
    gateway: Gateway, new_feed: FeedFactory
) -> None:
    feed = new_feed('key = "id"', "compacted = true")
    async with gateway() as url, Client(url) as client:
        with pytest.raises(EventsRejected, match=r"1 of 3 .* number 1: /id ") as some:
            await client.publish(feed, [{"id": "a"}, {"no": "id"}, {"id": "c"}], idempotency_key="k")
        with pytest.raises(EventsRejected, match="2 of 2") as everything:
            await client.publish(feed, [{"no": 1}, {"no": 2}])
        events = (await client.pull(feed)).events
    assert [w.id for w in some.value.written] == ["k/0", "k/2"]
    assert [(r.index, r.id, r.status) for r in some.value.rejected] == [(1, "k/1", 400)]
    assert [r.index for r in everything.value.rejected] == [0, 1]
    assert [event.id for event in events] == ["k/0", "k/2"]


async def test_requests_that_cannot_be_taken_are_typed_errors(gateway: Gateway, new_feed: FeedFactory) -> None:
    feed = new_feed()
    async with gateway(max_body_bytes=1000) as url, Client(url) as client:
        assert await client.publish(feed, []) == []
        with pytest.raises(FeedNotFound):
            await client.publish("no-such-feed", [{}])
        with pytest.raises(TooLarge, match="1000"):
            await client.publish(feed, ["x" * 2000])
        with pytest.raises(BadRequest, match="octet-stream"):
            await client.publish(feed, [b"raw"])
        with pytest.raises(BadRequest, match="Dead letters"):
            await client.publish(f"{feed}.dead", [{}])
        with pytest.raises(TypeError, match="not both"):
            await client.publish(feed, [{}, NewEvent("a", "b")])
