"""Webhooks of streams: what a client has appended to one, as CloudEvents."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from support.receiver import receiver
from support.waiting import until

pytestmark = pytest.mark.usefixtures("relay")
JSON = "application/json"


async def test_the_messages_of_a_json_stream_are_posted_in_order_under_their_ids_and_signed(
    api: Any, gateway: Any
) -> None:
    name = await gateway.made(JSON, b'[{"n": 0}, {"n": 1}]')
    async with receiver() as receiving:
        # Nothing is waited for: the relay may not have heard of the stream yet.
        made = await api.create(name, receiving.url, offset="-1", max_in_flight=1)
        for n in range(2, 6):
            await gateway.append(name, b'{"n": %d}' % n, Content_Type=JSON)
        await until(lambda: len(receiving.deliveries) >= 6)
        await until(lambda: api.has(made["id"], delivered=6, lag=0, parked=0))
        assert [delivery.data["n"] for delivery in receiving.deliveries] == list(range(6))
        for delivery in receiving.deliveries:
            delivery.check(made["secret"])
        batch = {"Accept": "application/cloudevents-batch+json"}
        async with gateway.http.get(f"{gateway.path(name)}?offset=-1", headers=batch) as answer:
            read = await answer.json(content_type=None)
        assert [delivery.event for delivery in receiving.deliveries] == read
        assert {(event["source"], event["type"]) for event in read} == {(f"/feeds/{name}", name)}
        assert receiving.ids == [event["id"] for event in read]


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain; charset=utf-8"])
async def test_messages_that_are_no_json_come_as_bytes(api: Any, gateway: Any, media_type: str) -> None:
    name, message = await gateway.made(media_type), b"\x00\xff caf\xc3\xa9"
    async with receiver() as structured, receiver() as data:
        await api.create(name, structured.url, offset="-1")
        await api.create(name, data.url, offset="-1", content_mode="data")
        await gateway.append(name, message, Content_Type=media_type)
        await until(lambda: structured.deliveries and data.deliveries)
        event = structured.deliveries[0].event
        assert base64.b64decode(event["data_base64"]) == message
        assert event["datacontenttype"] == media_type
        assert data.deliveries[0].body == message
        assert data.deliveries[0].headers["content-type"] == media_type


async def test_it_begins_at_an_offset_a_time_or_now_and_filters(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON, b'[{"n": 0}, {"n": 1}]')
    offset = (await gateway.call("HEAD", name)).offset
    await until(lambda: datetime.now(UTC).timestamp() * 1000 > gateway.streams.table[name].touched_ms + 100)
    moment = datetime.now(UTC).isoformat()
    await gateway.append(name, b'[{"n": 2}, {"n": 3}]', Content_Type=JSON)
    starts: list[dict[str, Any]] = [{"offset": "-1"}, {"offset": offset}, {"from_": moment}, {}]
    async with receiver() as receiving:
        ids = [(await api.create(name, f"{receiving.url}-{n}", **start))["id"] for n, start in enumerate(starts)]
        odd = (await api.create(name, f"{receiving.url}-odd", offset="-1", filter="data.n in [1, 3]"))["id"]
        await gateway.append(name, b'{"n": 4}', Content_Type=JSON)

        def got(path: str) -> list[int]:
            return sorted(d.data["n"] for d in receiving.deliveries if d.path == f"/hook-{path}")

        await until(lambda: _done(api, [*ids, odd]))
        await until(lambda: got("3") == [4])
        assert [got(str(n)) for n in range(3)] == [[0, 1, 2, 3, 4], [2, 3, 4], [2, 3, 4]]
        assert got("odd") == [1, 3]


async def _done(api: Any, names: list[str]) -> bool:
    return all([await api.has(name, lag=0, in_flight=0) for name in names])


async def test_several_partitions_are_read_and_batched(api: Any, gateway: Any) -> None:
    name = f"s-{uuid.uuid4().hex[:12]}"
    assert (await gateway.call("PUT", name, query="partitions=3", Content_Type=JSON)).status == 201
    async with receiver() as receiving:
        batch = {"max_events": 50, "max_wait_ms": 300}
        made = await api.create(name, receiving.url, offset="-1", batch=batch, ordering="key")
        for n in range(12):
            await gateway.append(name, b'{"n": %d}' % n, Content_Type=JSON)
        await until(lambda: api.has(made["id"], delivered=12, lag=0))
        got = [event["data"]["n"] for delivery in receiving.deliveries for event in orjson.loads(delivery.body)]
        assert sorted(got) == list(range(12))


async def test_a_subscription_to_a_stream_that_is_not_there_is_refused_as_to_any_unknown_feed(api: Any) -> None:
    code, body = await api.call("POST", feed="s-nowhere", mode="pull")
    assert code == 404
    assert "s-nowhere" in body["detail"]


async def test_it_is_seen_that_a_stream_is_closed(api: Any, gateway: Any) -> None:
    name = await gateway.made(JSON)
    async with receiver() as receiving:
        made = await api.create(name, receiving.url)
        await gateway.append(name, b'{"n": "last"}', Content_Type=JSON, Stream_Closed="true")
        await until(lambda: api.has(made["id"], delivered=1, lag=0))
        assert [delivery.data for delivery in receiving.deliveries] == [{"n": "last"}]
