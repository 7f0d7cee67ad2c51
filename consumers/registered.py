"""The definitions of subscriptions, as requests name and change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus

from aiohttp import web
from confluent_kafka.admin import AdminClient

from headrace.access.principal import principal_of
from headrace.access.scopes import Action
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.definitions import Definitions
from headrace.http.problems import Problem
from headrace.settings import Settings


class Registered:
    """Finds what a request names; raises `Problem` 404 for what is not there, 403 for what is not its sender's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def load(self, admin: AdminClient) -> None:
        """Read all; raises `UnknownTopic`, `KafkaUnavailable`."""
        self._definitions = Definitions(self._settings.kafka(), admin)
        await self._definitions.load()

    async def close(self) -> None:
        """Leave Kafka."""
        await self._definitions.close()

    async def all(self, request: web.Request) -> Iterator[Subscription]:
        """Those that the sender may see."""
        await self._definitions.catch_up()
        principal = principal_of(request)
        return (s for s in self._definitions.values() if principal.may(Action.SUBSCRIBE, s.feed))

    async def known(self, request: web.Request) -> Subscription:
        """The one that is named."""
        await self._definitions.catch_up()
        name = request.match_info["id"]
        if name not in self._definitions:
            raise _unknown(name)
        subscription = self._definitions[name]
        principal_of(request).require(Action.SUBSCRIBE, subscription.feed)
        return subscription

    async def add(self, subscription: Subscription) -> None:
        """Write a new one; raises `Problem` 409 where its name is taken."""

        def made(present: Subscription | None) -> Subscription:
            if present is not None:
                raise Problem(HTTPStatus.CONFLICT, f"A subscription is called {subscription.id} already.")
            return subscription

        await self._definitions.change(subscription.id, made)

    async def change(self, request: web.Request, change: Callable[[Subscription], Subscription]) -> Subscription:
        """Change the one that is named, if it is what `If-Match` says; raises `Problem` 412 where it is not."""

        def changed(present: Subscription | None) -> Subscription:
            return change(checked_for(request, present))

        result = await self._definitions.change(request.match_info["id"], changed)
        assert result is not None
        return result

    async def delete(self, request: web.Request) -> None:
        """Delete the one that is named, if it is what `If-Match` says."""

        def deleted(present: Subscription | None) -> None:
            checked_for(request, present)

        await self._definitions.change(request.match_info["id"], deleted)


def checked_for(request: web.Request, present: Subscription | None) -> Subscription:
    """What a request is to change, if it may: it is there, its sender's, and what `If-Match` says."""
    wanted = request.headers.get("If-Match")
    if present is None:
        raise _unknown(request.match_info["id"])
    principal_of(request).require(Action.SUBSCRIBE, present.feed)
    if wanted is not None and wanted != "*" and present.etag not in [tag.strip() for tag in wanted.split(",")]:
        raise Problem(
            HTTPStatus.PRECONDITION_FAILED,
            "Somebody has changed it since: read it again.",
            headers={"ETag": present.etag},
        )
    return present


def _unknown(name: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"No subscription is called {name}; GET /v1/subscriptions lists them.")
