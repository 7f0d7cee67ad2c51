"""Calls about one subscription that runs here, passed on by gateways."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import orjson
from aiohttp import web

from headrace.consumers.core.position import PositionError
from headrace.consumers.relay.message import STRUCTURED, Message
from headrace.consumers.relay.owner import Owner
from headrace.consumers.relay.runner import Runner
from headrace.consumers.subscription_request import start_position
from headrace.http.problems import Problem
from headrace.schemas.avro_json import to_json
from headrace.schemas.event import new_id, now
from headrace.signing import header_id


class Calls:
    """Answers for the owner at `address`. Of a subscription that it does not run it answers 421."""

    def __init__(self, owner: Owner, address: str) -> None:
        self._owner = owner
        self._address = address

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Read with its status, seek, test."""
        return [
            web.get("/v1/subscriptions/{id}", self._status),
            web.post("/v1/subscriptions/{id}/seek", self._seek),
            web.post("/v1/subscriptions/{id}/test", self._test),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        runner = self._runner(request)
        body = {
            **runner.subscription.public(),
            "status": {"owner": self._address, **runner.status()},
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _seek(self, request: web.Request) -> web.Response:
        name = self._runner(request).subscription.id
        async with self._owner.lock(name):
            runner = self._runner(request)
            try:
                position = await start_position(await request.read(), runner.feed_log)
            except PositionError as error:
                raise Problem(HTTPStatus.BAD_REQUEST, f"offset: {error}") from None
            await self._owner.move(runner, position)
        return await self._status(request)

    async def _test(self, request: web.Request) -> web.Response:
        runner = self._runner(request)
        subscription = runner.subscription
        event_id = new_id()
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": f"/subscriptions/{subscription.id}",
            "type": "headrace.test",
            "time": now(),
            "datacontenttype": "application/json",
            "data": {"subscription": subscription.id, "feed": subscription.feed},
        }
        message = Message(header_id(event_id), to_json(event), {"content-type": STRUCTURED})
        outcome = await runner.endpoint.send(message)
        body = {
            "delivered": outcome.delivered,
            "status": outcome.status,
            "seconds": round(outcome.phases.total_s, 4),
            "error": outcome.error,
            "answer": outcome.answer.decode("utf-8", "replace"),
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    def _runner(self, request: web.Request) -> Runner:
        runner = self._owner.runners.get(request.match_info["id"])
        if runner is None:
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST, "This relay does not run the subscription; ask a gateway for its owner."
            )
        return runner
