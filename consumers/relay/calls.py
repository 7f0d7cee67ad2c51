"""Calls about one subscription that runs here, passed on by gateways."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus

import orjson
from aiohttp import web

from headrace.consumers.checked import checked, checked_query
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import Position, PositionError, widen
from headrace.consumers.core.record import Record
from headrace.consumers.core.tail import UnknownFeed
from headrace.consumers.delivery_answers import DeadLetter, Redelivery, Trial, Undelivered
from headrace.consumers.refused import refused
from headrace.consumers.relay import replay
from headrace.consumers.relay.message import STRUCTURED, Message
from headrace.consumers.relay.owned import Owned, carried_out
from headrace.consumers.relay.running import Running
from headrace.consumers.relay.settling import TooMany
from headrace.consumers.relay.snapshot_calls import saved_of
from headrace.consumers.subscription_request import (
    Redeliver,
    Seek,
    Since,
    milliseconds,
    resolve,
)
from headrace.http.problems import Problem
from headrace.kafka.offsets import UnknownTopic
from headrace.schemas.avro_json import to_json
from headrace.schemas.event import new_id, now, rfc3339
from headrace.signing import header_id


class Calls:
    """Answers for the owner at `address`. Of a subscription that it does not run it answers 421."""

    def __init__(self, owned: Owned, address: str) -> None:
        self._owned = owned
        self._owner = owned.owner
        self._address = address

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Read with its status, and what only the owner can do."""
        one = "/v1/subscriptions/{id}"
        return [
            web.get(one, self._status),
            web.post(f"{one}/seek", self._seek),
            web.post(f"{one}/test", self._test),
            web.post(f"{one}/redeliver", self._redeliver),
            web.get(f"{one}/undelivered", self._undelivered),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        standstills, name = self._owner.standstills, request.match_info["id"]
        if (stood := standstills.get(name)) is not None:
            body = {**stood.public(), "status": None, "waits_for": standstills.reason(name)}
        else:
            runner = self._owned.running(request)
            body = {**runner.subscription.public(), "status": {"owner": self._address, **runner.status()}}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _seek(self, request: web.Request) -> web.Response:
        name = self._owned.running(request).subscription.id
        wanted = checked(Seek, await request.read())
        if wanted.offset is None and wanted.from_ is None and wanted.snapshot is None:
            raise Problem(
                HTTPStatus.BAD_REQUEST, "Say where to: offset (-1, now, or a token), from (a time), or a snapshot."
            )
        async with self._owner.held.lock(name):
            runner = self._owned.running(request)
            start = wanted
            if wanted.snapshot is not None:
                start = Seek(offset=saved_of(runner, wanted.snapshot).offset)
            try:
                position = await resolve(start, runner.feed_log)
            except PositionError as error:
                raise refused(runner.feed_log, error) from None
            async with self._owned.confirmed(name):
                await carried_out(self._owner.moves.seek(runner, position))
        return await self._status(request)

    async def _redeliver(self, request: web.Request) -> web.Response:
        wanted = checked(Redeliver, await request.read())
        runner = self._owned.running(request)
        name, feed_log = runner.subscription.id, runner.feed_log
        try:
            if wanted.partition is not None and wanted.offset is not None:
                found = await replay.one(runner, wanted.partition, int(wanted.offset))
            elif wanted.dead_letters:
                log = await self._dead_letters(runner)
                found = await replay.dead_letters(runner, log, await _from(log, wanted.from_))
            else:
                start, end = await resolve(wanted, feed_log), await _until(feed_log, wanted.to)
                # What lies after its position comes anyhow.
                passed = tuple(min(pair) for pair in zip(end, widen(runner.position, len(end)), strict=True))
                found = await replay.between(runner, start, passed)
            # While the log was read it may have been stopped, or have gone to another owner.
            async with self._owner.held.lock(name), self._owned.certain(name):
                count = await carried_out(self._owned.running(request).redeliver(found))
        except TooMany as error:
            raise Problem(HTTPStatus.CONFLICT, f"{error}; a seek moves the subscription there instead.") from None
        except PositionError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"offset: {error}") from None
        if not count and wanted.partition is not None:
            raise Problem(HTTPStatus.NOT_FOUND, "The log has no such event.")
        told: Redelivery = {"events": count}
        return web.json_response(told, status=HTTPStatus.ACCEPTED)

    async def _undelivered(self, request: web.Request) -> web.Response:
        runner = self._owned.running(request)
        since = checked_query(Since, request.query)
        # What is parked comes first: what is given up meanwhile is told twice rather than not at all.
        body: Undelivered = {
            "offset": runner.feed_log.token(runner.position),
            "lag": runner.lag,
            "parked": [
                {
                    "partition": parked.partition,
                    "offset": parked.offset,
                    "attempt": parked.attempt,
                    "next_attempt": rfc3339(parked.due_ms) if parked.due_ms else None,
                }
                for parked in sorted(runner.waiting(), key=lambda parked: (parked.partition, parked.offset))
            ],
            "dead_letters": [],
        }
        with contextlib.suppress(UnknownFeed, UnknownTopic):
            log = await self._dead_letters(runner)
            start = await _from(log, since.from_)
            body["dead_letters"] = [_told(letter) async for letter in replay.dead_letters_of(runner, log, start)]
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _dead_letters(self, runner: Running) -> FeedLog:
        """The dead letters of a feed, with those of a subscription that were being written when it was asked."""
        await self._owner.told(runner.subscription.id)
        return await self._owner.dead_letters.log(runner.feed_log.entry.feed)

    async def _test(self, request: web.Request) -> web.Response:
        runner = self._owned.runner(request)
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
        body: Trial = {
            "delivered": outcome.delivered,
            "status": outcome.status,
            "seconds": round(outcome.phases.total_s, 4),
            "error": outcome.error,
            "answer": outcome.answer.decode("utf-8", "replace"),
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")


def _told(letter: Record) -> DeadLetter:
    said = replay.said_of(letter)
    return {
        "event_id": letter.id,
        "partition": int(said["partition"]),
        "offset": int(said["offset"]),
        "reason": said["reason"],
        "attempts": int(said.get("attempts", 0)),
        "at": said["time"],
    }


async def _from(log: FeedLog, moment: datetime | None) -> Position:
    return await log.beginning() if moment is None else await log.at_time(milliseconds(moment))


async def _until(log: FeedLog, moment: datetime | None) -> Position:
    if moment is None:
        await log.refresh()
        return log.tail
    return await log.at_time(milliseconds(moment))
