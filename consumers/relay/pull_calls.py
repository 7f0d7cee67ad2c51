"""Calls of those who pull from a subscription that runs here: events, leases, and what became of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from http import HTTPStatus

import orjson
from aiohttp import web

from headrace.consumers.checked import checked, checked_query
from headrace.consumers.core.position import PositionError, PositionGone
from headrace.consumers.lease_request import Acknowledge, Extend, Lease, Nack
from headrace.consumers.refused import refused
from headrace.consumers.relay.catch_up import undelivered
from headrace.consumers.relay.owned import Owned, carried_out, not_the_owner
from headrace.consumers.relay.puller import Delivery, Puller
from headrace.consumers.relay.under_way import Stopped
from headrace.consumers.subscription_request import Page
from headrace.http.problems import Problem, unavailable
from headrace.kafka.bridge import QueueFull, Undelivered


class PullCalls:
    """Answers for the owner; only `events`, and `ack` by an offset, are also for webhooks."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """What workers call."""
        one = "/v1/subscriptions/{id}"
        return [
            web.get(f"{one}/events", self._events),
            web.post(f"{one}/ack", self._ack),
            web.post(f"{one}/lease", self._lease),
            web.post(f"{one}/nack", self._nack),
            web.post(f"{one}/extend", self._extend),
        ]

    async def _events(self, request: web.Request) -> web.Response:
        """What was not delivered, for a client that pulls it and then acknowledges the position after it."""
        runner = self._owned.running(request)
        asked = checked_query(Page, request.query)
        try:
            batch = await undelivered(runner, asked.limit, asked.wait)
        except PositionGone as error:
            raise refused(runner.feed_log, error) from None
        body = b"[" + b",".join(runner.feed_log.jsons(batch.records)) + b"]"
        headers = {"Stream-Next-Offset": runner.feed_log.token(batch.position), "Cache-Control": "no-store"}
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _lease(self, request: web.Request) -> web.Response:
        puller = self._owned.puller(request)
        wanted = checked(Lease, await request.read())
        if puller.subscription.state != "active":
            raise Problem(HTTPStatus.CONFLICT, f"The subscription is {puller.subscription.state}; resume it first.")
        async with self._asking(puller):
            deliveries = await puller.lease(wanted.max_events, wanted.wait_s, wanted.lease_s)
        return _answer(_deliveries(deliveries))

    async def _ack(self, request: web.Request) -> web.Response:
        self._owned.running(request)
        wanted = checked(Acknowledge, await request.read())
        if wanted.ack_ids is not None:
            puller = self._owned.puller(request)
            async with self._asking(puller):
                refused = await puller.ack(wanted.ack_ids)
            return _answer(_outcome("acked", wanted.ack_ids, refused))
        name = self._owned.running(request).subscription.id
        async with self._owned.owner.held.lock(name):
            runner = self._owned.running(request)
            try:
                position = await runner.feed_log.resolve(wanted.offset or "")
            except PositionError as error:
                raise Problem(HTTPStatus.BAD_REQUEST, f"offset: {error}") from None
            if isinstance(runner, Puller):
                async with self._asking(runner):
                    await runner.acknowledge(position)
            else:
                async with self._owned.confirmed(name):
                    await carried_out(self._owned.owner.moves.acknowledge(runner, position))
        runner = self._owned.running(request)
        told = {**runner.subscription.public(), "status": runner.status()}
        return _answer(orjson.dumps(told))

    async def _nack(self, request: web.Request) -> web.Response:
        puller = self._owned.puller(request)
        wanted = checked(Nack, await request.read())
        async with self._asking(puller):
            refused = await carried_out(puller.nack(wanted.ack_ids, wanted.delay_s))
        return _answer(_outcome("nacked", wanted.ack_ids, refused))

    async def _extend(self, request: web.Request) -> web.Response:
        puller = self._owned.puller(request)
        wanted = checked(Extend, await request.read())
        async with self._asking(puller):
            refused = await puller.extend(wanted.ack_ids, wanted.lease_s)
        return _answer(_outcome("extended", wanted.ack_ids, refused))

    @contextlib.asynccontextmanager
    async def _asking(self, puller: Puller) -> AsyncIterator[None]:
        """Ask a puller as the certain owner; what keeps it from answering is told as a problem."""
        async with self._owned.certain(puller.subscription.id):
            try:
                yield
            except Stopped:
                raise not_the_owner() from None
            except (Undelivered, QueueFull) as error:
                raise unavailable(f"Kafka did not take what must be noted first ({error}); ask again.") from None


def _deliveries(deliveries: Sequence[Delivery]) -> bytes:
    events = b",".join(
        b'{"ack_id":"%b","delivery":%d,"event":%b}' % (one.ack_id.encode(), one.number, one.event) for one in deliveries
    )
    return b'{"events":[' + events + b"]}"


def _outcome(what: str, ack_ids: Sequence[str], refused: Mapping[str, str]) -> bytes:
    return orjson.dumps({what: len(set(ack_ids)) - len(refused), "refused": refused})


def _answer(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})
