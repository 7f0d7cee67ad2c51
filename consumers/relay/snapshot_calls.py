"""Calls about named positions of a subscription that runs here: kept in the state, whatever it is moved to since."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

import orjson
from aiohttp import web

from headrace.consumers.pull_answers import Snapshot, SnapshotList
from headrace.consumers.relay.owned import Owned
from headrace.consumers.relay.running import Running
from headrace.consumers.relay.state import Saved
from headrace.consumers.subscription_request import MAX_SNAPSHOTS, NAME
from headrace.http.problems import Problem, unavailable
from headrace.kafka.bridge import QueueFull, Undelivered
from headrace.schemas.event import now


class SnapshotCalls:
    """Answers for the owner. A snapshot is a position, not a copy: it keeps nothing from retention."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Make, read, list, delete."""
        all_of_them = "/v1/subscriptions/{id}/snapshots"
        one = f"{all_of_them}/{{name}}"
        return [
            web.get(all_of_them, self._list),
            web.put(one, self._put),
            web.get(one, self._get),
            web.delete(one, self._delete),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        snapshots = self._owned.running(request).snapshots
        told: SnapshotList = {"snapshots": [_told(name, snapshots[name]) for name in sorted(snapshots)]}
        return _answer(told)

    async def _put(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if re.fullmatch(NAME, name) is None:
            raise Problem(HTTPStatus.BAD_REQUEST, "name: letters, digits, '.', '_' and '-', at most 100 of them.")
        subscription_id = self._owned.running(request).subscription.id
        async with self._owned.owner.held.lock(subscription_id):
            runner = self._owned.running(request)
            made = name not in runner.snapshots
            if made and len(runner.snapshots) >= MAX_SNAPSHOTS:
                raise Problem(HTTPStatus.CONFLICT, f"It has {MAX_SNAPSHOTS} snapshots already; delete one.")
            saved = Saved(runner.feed_log.token(runner.position), now())
            await self._write(runner, name, saved)
        return _answer(_told(name, saved), status=HTTPStatus.CREATED if made else HTTPStatus.OK)

    async def _get(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return _answer(_told(name, saved_of(self._owned.running(request), name)))

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        subscription_id = self._owned.running(request).subscription.id
        async with self._owned.owner.held.lock(subscription_id):
            runner = self._owned.running(request)
            saved_of(runner, name)
            await self._write(runner, name, None)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _write(self, runner: Running, name: str, saved: Saved | None) -> None:
        async with self._owned.certain(runner.subscription.id):
            try:
                await self._owned.owner.moves.save(runner, name, saved)
            except (Undelivered, QueueFull) as error:
                raise unavailable(f"Kafka did not take it ({error}); ask again.") from None


def saved_of(runner: Running, name: str) -> Saved:
    """A snapshot; raises `Problem` 404 where there is none of that name."""
    if (saved := runner.snapshots.get(name)) is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"It has no snapshot that is called {name}.")
    return saved


def _told(name: str, saved: Saved) -> Snapshot:
    return {"name": name, "offset": saved.offset, "at": saved.at}


def _answer(told: object, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(told), content_type="application/json")
