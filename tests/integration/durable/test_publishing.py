"""Appending to streams over WebSocket, by the frames of `headrace.v1`."""

from __future__ import annotations

import pytest
from integration.durable.conftest import FILE_FEED, Gateway
from support.websocket import talking

JSON = "application/json"


async def test_messages_are_appended_and_the_position_after_them_is_told(gateway: Gateway) -> None:
    name = await gateway.made(JSON)
    async with talking(gateway.url, name) as talk:
        await talk.say("subscribe", id="a", offset="-1", credit={"events": 100})
        await talk.say("publish", id="p", messages=[{"say": "hello"}, [1, [2]], None, 2**53 + 1])
        told = await talk.hear("published", "p")
        assert await talk.values(4, "a") == [{"say": "hello"}, [1, [2]], None, 2**53 + 1]
    assert await gateway.read(name) == b'[{"say":"hello"},[1,[2]],null,9007199254740993]'
    # Who reads on from there misses nothing and sees nothing twice.
    await gateway.append(name, b'"later"', Content_Type=JSON)
    page = await gateway.call("GET", name, query=f"offset={told['offset']}")
    assert page.body == b'["later"]'


async def test_another_stream_can_be_named(gateway: Gateway) -> None:
    one, two = await gateway.made(JSON), await gateway.made(JSON)
    async with talking(gateway.url, one) as talk:
        for number in range(20):
            await talk.say("publish", id=str(number), feed=two, messages=[number])
        await talk.hear("published", "19")
    assert await gateway.read(two) == b"[" + b",".join(b"%d" % number for number in range(20)) + b"]"
    assert await gateway.read(one) == b"[]"


@pytest.mark.parametrize(
    ("frame", "status", "said"),
    [
        ({"messages": []}, 400, "see errors"),
        ({"messages": [1], "events": []}, 400, "see errors"),
        ({}, 400, "see errors"),
        ({"messages": [1], "feed": "nobody"}, 404, "PUT makes a stream"),
        ({"messages": [1], "feed": FILE_FEED}, 400, "publish events"),
        ({"events": [{"id": "e", "data": 1}]}, 404, "takes messages"),
        ({"messages": ["x" * 100_000]}, 413, "at most 100000"),
    ],
)
async def test_what_does_not_fit_is_refused_and_nothing_is_written(
    gateway: Gateway, frame: dict[str, object], status: int, said: str
) -> None:
    name = await gateway.made(JSON)
    async with talking(gateway.url, name) as talk:
        await talk.say("publish", id="p", **frame)
        problem = (await talk.hear("error", "p"))["problem"]
        assert (problem["status"], said in problem["detail"]) == (status, True), problem
    assert await gateway.read(name) == b"[]"


async def test_a_stream_that_is_closed_or_of_text_takes_none(gateway: Gateway) -> None:
    closed, text = await gateway.made(JSON, b"[1]", Stream_Closed="true"), await gateway.made("text/plain")
    for name, said in ((closed, "closed"), (text, "text/plain")):
        async with talking(gateway.url, name) as talk:
            await talk.say("publish", id="p", messages=[2])
            problem = (await talk.hear("error", "p"))["problem"]
            assert problem["status"] == 409
            assert said in problem["detail"]
