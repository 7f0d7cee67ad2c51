"""Events that are sent again because Kafka did not acknowledge them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from headrace.client import Client, EventsRejected, NewEvent, Unavailable


class Ingest:
    """Answers as the writing API does; `busy` says how often the event of an id is not acknowledged."""

    def __init__(self, busy: dict[str, int]) -> None:
        self.busy = busy
        self.written: list[str] = []
        self.requests: list[list[str]] = []

    async def post(self, request: web.Request) -> web.Response:
        items = orjson.loads(await request.read())
        key = request.headers.get("Idempotency-Key")
        if key is None:
            ids = [item["id"] for item in items]
        else:
            ids = [f"{key}/{index}" if len(items) > 1 else key for index in range(len(items))]
        self.requests.append(ids)
        told = [self._told(event_id) for event_id in ids]
        if all(one["status"] == 503 for one in told):
            errors = [{"index": index, "pointer": "", "detail": "busy"} for index in range(len(told))]
            return web.json_response({"detail": "Kafka did not acknowledge the events.", "errors": errors}, status=503)
        partly = any(one["status"] == 503 for one in told)
        return web.json_response({"events": told}, status=207 if partly else 200)

    def _told(self, event_id: str) -> dict[str, Any]:
        if self.busy.get(event_id, 0) > 0:
            self.busy[event_id] -= 1
            return {"id": event_id, "status": 503, "errors": [{"pointer": "", "detail": "busy"}]}
        self.written.append(event_id)
        return {"id": event_id, "status": 200, "partition": 0, "offset": len(self.written) - 1}


@contextlib.asynccontextmanager
async def ingest(**busy: int) -> AsyncIterator[tuple[str, Ingest]]:
    server = Ingest({name.replace("_", "/"): times for name, times in busy.items()})
    app = web.Application()
    app.router.add_post("/v1/feeds/{feed}/events", server.post)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", server
    finally:
        await runner.cleanup()


async def test_plain_events_that_were_not_acknowledged_are_sent_again_under_their_own_ids() -> None:
    async with ingest(k_1=2, k_2=1) as (url, server), Client(url) as client:
        written = await client.publish("feed", [0, 1, 2, 3], idempotency_key="k")
    assert [w.id for w in written] == ["k/0", "k/1", "k/2", "k/3"]
    assert sorted(server.written) == ["k/0", "k/1", "k/2", "k/3"]
    assert server.requests == [["k/0", "k/1", "k/2", "k/3"], ["k/1"], ["k/1"], ["k/2"]]


async def test_events_with_ids_of_their_own_are_sent_again_together() -> None:
    events = [NewEvent("t", "/s", n, id=name) for n, name in enumerate("abcd")]
    async with ingest(b=1, d=1) as (url, server), Client(url) as client:
        written = await client.publish("feed", events)
    assert [w.id for w in written] == ["a", "b", "c", "d"]
    assert server.requests == [["a", "b", "c", "d"], ["b", "d"]]


async def test_a_request_of_which_nothing_was_written_is_repeated_with_the_same_ids() -> None:
    async with ingest(k_0=1, k_1=1) as (url, server), Client(url) as client:
        await client.publish("feed", [1, 2], idempotency_key="k")
    assert server.requests == [["k/0", "k/1"], ["k/0", "k/1"]]


async def test_when_patience_is_over_it_is_told_what_was_written_and_what_was_not() -> None:
    async with ingest(k_1=1000) as (url, _), Client(url, patience_s=0.3) as client:
        with pytest.raises(EventsRejected) as error:
            await client.publish("feed", [0, 1, 2], idempotency_key="k")
    assert [w.id for w in error.value.written] == ["k/0", "k/2"]
    assert [(r.index, r.status) for r in error.value.rejected] == [(1, 503)]
    async with ingest(k=1000) as (url, _), Client(url, patience_s=0.3) as client:
        with pytest.raises(Unavailable, match="did not acknowledge"):
            await client.publish("feed", [0], idempotency_key="k")
