from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.websocket import talking

MakeFeed = Callable[..., str]
Gateway = Callable[..., Any]


def event(event_id: str, data: Any, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": event_id, "source": "/tests", "type": "t", "data": data, **more}


async def test_what_is_published_is_acknowledged_with_its_place_and_read_on_the_same_socket(
    make_feed: MakeFeed, gateway: Gateway
) -> None:
    feed = make_feed()
    async with gateway() as url, talking(url, feed) as talk:
        await talk.say("subscribe", id="a", credit={"events": 1000})
        await talk.hear("up_to_date")
        await talk.say("publish", id="p", events=[event("e1", 1), event("e2", 2)])
        answer = await talk.hear("published", "p")
        assert answer["events"] == [
            {"id": "e1", "partition": 0, "offset": 0},
            {"id": "e2", "partition": 0, "offset": 1},
        ]
        assert await talk.values(2, "a") == [1, 2]
        assert [e["id"] for e in talk.events("a")] == ["e1", "e2"]


async def test_frames_are_written_in_their_order(make_feed: MakeFeed, gateway: Gateway) -> None:
    feed = make_feed()
    async with gateway() as url, talking(url, feed) as talk:
        for number in range(50):
            await talk.say("publish", id=str(number), events=[event(f"{number}/{n}", [number, n]) for n in range(40)])
        await talk.hear("published", "49")
        await talk.say("subscribe", id="a", offset="-1", credit={"events": 5000})
        assert await talk.values(2000, "a") == [[number, n] for number in range(50) for n in range(40)]


async def test_another_feed_can_be_named_and_an_event_that_was_read_be_written(
    make_feed: MakeFeed, gateway: Gateway
) -> None:
    one, two = make_feed(), make_feed()
    async with gateway() as url, talking(url, one) as talk:
        await talk.say("publish", id="p", events=[event("e1", 1, partitionkey="k")])
        await talk.hear("published", "p")
        await talk.say("subscribe", id="a", offset="-1")
        await talk.values(1, "a")
        await talk.say("publish", id="q", feed=two, events=talk.events("a"))
        await talk.hear("published", "q")
        await talk.say("subscribe", id="b", feed=two, offset="-1")
        await talk.values(1, "b")
        assert talk.events("b")[0]["partitionkey"] == "k"


async def test_what_cannot_be_written_is_told_and_the_rest_is_written(make_feed: MakeFeed, gateway: Gateway) -> None:
    feed = make_feed()
    async with gateway() as url, talking(url, feed) as talk:
        await talk.say("publish", id="some", events=[event("e1", 1), {"id": "e2"}])
        good, bad = (await talk.hear("published", "some"))["events"]
        assert (good["status"], good["offset"]) == (200, 0)
        assert (bad["status"], bad["id"]) == (400, "e2")
        for frame_id, frame, status in (
            ("none", {"events": [{"id": "e3"}]}, 400),
            ("empty", {"events": []}, 400),
            ("unknown", {"events": [event("e4", 4)], "feed": "nobody"}, 404),
            ("dead", {"events": [event("e5", 5)], "feed": "flights.dead"}, 405),
        ):
            await talk.say("publish", id=frame_id, **frame)
            assert (await talk.hear("error", frame_id))["problem"]["status"] in (status, 404)
        await talk.say("subscribe", id="a", offset="-1")
        assert await talk.values(1, "a") == [1]
