"""Messages of streams that were never delivered: all of them are in one feed, and can be delivered once more."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from support.receiver import receiver, status
from support.told import happened
from support.waiting import until

pytestmark = pytest.mark.usefixtures("relay")
JSON = "application/json"
DEAD = "headrace.streams.dead"


async def letters(gateway: Any, subscription: str) -> list[dict[str, Any]]:
    """The dead letters of a subscription, as every reader of their feed has them."""
    async with gateway.http.get(f"{gateway.url}/v1/feeds/{DEAD}/events?limit=10000") as answer:
        assert answer.status == 200
        return [e for e in await answer.json(content_type=None) if e["deadlettersubscription"] == subscription]


async def dead(api: Any, name: str) -> list[dict[str, Any]]:
    code, body = await api.call("GET", f"/{name}/undelivered")
    assert code == 200, body
    found: list[dict[str, Any]] = body["dead_letters"]
    return found


async def redelivered(api: Any, name: str) -> int:
    code, body = await api.call("POST", f"/{name}/redeliver", dead_letters=True)
    assert code == 202, body
    return int(body["events"])


async def test_one_is_in_the_feed_of_all_streams_dead_letters_and_is_delivered_on_demand(
    api: Any, gateway: Any
) -> None:
    name = await gateway.made(JSON, b'[{"n": 0}, {"n": 1}]')
    async with receiver() as receiving:
        receiving.choose = lambda d: status(422) if broken and d.data["n"] == 1 else None
        broken = True
        made = (await api.create(name, receiving.url, offset="-1", retry_s=[]))["id"]
        await until(lambda: api.has(made, delivered=1, lag=0, parked=0))
        (told,) = await dead(api, made)
        (letter,) = await letters(gateway, made)
        assert letter["data"] == {"n": 1}
        assert letter["id"] == told["event_id"]
        assert letter["deadlettertopic"] == gateway.streams.table[name].topic
        assert "422" in letter["deadletterreason"]
        broken = False
        assert await redelivered(api, made) == 1
        await until(lambda: api.has(made, delivered=2, parked=0))
        assert receiving.ids[-1] == told["event_id"]


async def test_what_is_no_json_is_kept_byte_by_byte(api: Any, gateway: Any) -> None:
    name = await gateway.made("application/octet-stream", b"\x00\xff")
    code, made = await api.call("POST", feed=name, mode="pull", offset="-1", max_deliveries=1)
    assert code == 201

    async def bury() -> bool:
        await api.call("POST", f"/{made['id']}/lease", max_events=1, lease_s=0.1)
        return bool(await dead(api, made["id"]))

    await until(bury)
    (letter,) = await letters(gateway, made["id"])
    assert base64.b64decode(letter["data_base64"]) == b"\x00\xff"
    assert "dataerror" not in letter


async def test_those_of_a_deleted_stream_are_not_taken_for_messages_of_the_one_made_again(
    api: Any, gateway: Any
) -> None:
    name = await gateway.made(JSON, b'{"n": "old"}')
    async with receiver() as receiving:
        receiving.choose = lambda d: status(422) if d.data["n"] == "old" else None
        made = (await api.create(name, receiving.url, offset="-1", retry_s=[]))["id"]
        await until(lambda: api.has(made, lag=0, parked=0))
        assert len(await dead(api, made)) == 1
        await gateway.call("DELETE", name)
        await gateway.call("PUT", name, b'{"n": "new"}', Content_Type=JSON)
        await until(lambda: api.has(made, delivered=1, lag=0))
        assert await dead(api, made) == []
        assert await redelivered(api, made) == 0
        assert len(await letters(gateway, made)) == 1
        assert [delivery.data["n"] for delivery in receiving.deliveries] == ["old", "new"]


async def test_their_feed_is_subscribed_to_like_any_and_makes_no_further_ones(api: Any, gateway: Any, log: Any) -> None:
    name = await gateway.made(JSON, b'{"n": "bad"}')
    async with receiver() as receiving, receiver() as watching:
        receiving.answer = watching.answer = status(422)
        made = (await api.create(name, receiving.url, offset="-1", retry_s=[]))["id"]
        await until(lambda: dead(api, made))
        wanted = f"extensions.deadlettersubscription == '{made}'"
        watch = (await api.create(DEAD, watching.url, offset="-1", retry_s=[], filter=wanted))["id"]
        await until(lambda: watching.deliveries)
        # What became of it is in Kafka before it is answered.
        await until(lambda: api.has(watch, lag=0, parked=0))
        assert await dead(api, watch) == []
        assert watching.deliveries[0].data == {"n": "bad"}
        assert "undeliverable" in await happened(log.kafka, watch)
        assert await letters(gateway, watch) == []
