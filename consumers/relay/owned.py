"""What runs here, for calls about it: only as its owner by Kafka's word may a relay answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web

from headrace.consumers.relay.definition import position_partition
from headrace.consumers.relay.owner import Owner
from headrace.consumers.relay.ownership import Ownership
from headrace.consumers.relay.puller import Puller
from headrace.consumers.relay.runner import Runner
from headrace.consumers.relay.running import Running
from headrace.http.problems import Problem, unavailable

T = TypeVar("T")


class Owned:
    """Finds what a call is about; raises `Problem`: 421 where it does not run here, 409 where it is of another mode."""

    def __init__(self, owner: Owner, ownership: Ownership) -> None:
        self.owner = owner
        self._ownership = ownership

    def running(self, request: web.Request) -> Running:
        """The subscription of a call, whatever its mode."""
        runner = self.owner.running(request.match_info["id"])
        if runner is None:
            reason = self.owner.standstills.reason(request.match_info["id"])
            raise not_the_owner() if reason is None else unavailable(f"The subscription stands still: {reason}.", 5)
        return runner

    def runner(self, request: web.Request) -> Runner:
        """One that is pushed."""
        runner = self.running(request)
        if not isinstance(runner, Runner):
            raise Problem(HTTPStatus.CONFLICT, "It is pulled from; PATCH its mode and url to have it pushed.")
        return runner

    def puller(self, request: web.Request) -> Puller:
        """One that is pulled from."""
        runner = self.running(request)
        if not isinstance(runner, Puller):
            raise Problem(HTTPStatus.CONFLICT, "It is pushed to its url; PATCH its mode to pull to lease from it.")
        return runner

    @contextlib.asynccontextmanager
    async def confirmed(self, name: str) -> AsyncIterator[None]:
        """Change a subscription only as its owner by Kafka's word before and after: else a successor may not see it."""
        partition = position_partition(name)
        if not await self._ownership.confirm(partition):
            raise not_the_owner()
        yield
        if not await self._ownership.confirm(partition):
            raise not_the_owner()

    @contextlib.asynccontextmanager
    async def certain(self, name: str) -> AsyncIterator[None]:
        """The same for what happens often: without a question to Kafka where the last one was not long ago."""
        partition = position_partition(name)
        if not await self._ownership.certain(partition):
            raise not_the_owner()
        yield
        if not await self._ownership.certain(partition):
            raise not_the_owner()


def not_the_owner() -> Problem:
    """421: the gateway looks for the owner again."""
    return Problem(
        HTTPStatus.MISDIRECTED_REQUEST, "This relay does not run the subscription; ask a gateway for its owner."
    )


async def carried_out(work: Coroutine[Any, Any, T]) -> T:
    """Do it whole, also where the caller goes meanwhile: left half done a subscription, or an event, stands still."""
    done = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await done
        raise
