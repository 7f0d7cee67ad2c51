"""Calls about the signing keys of subscriptions: a new one, and the one that counts."""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog
from aiohttp import web

from headrace.consumers.checked import checked
from headrace.consumers.registered import Registered
from headrace.consumers.relay.definition import Subscription
from headrace.consumers.relay.signing_key import current, rotate
from headrace.consumers.sealing import Sealing
from headrace.consumers.subscription_request import Rotate
from headrace.consumers.subscription_shown import shown
from headrace.settings import ServeSettings

log = structlog.get_logger(__name__)


class SubscriptionSecrets:
    """Rotates and reveals them. Both are logged, as is who asked."""

    def __init__(self, settings: ServeSettings, registered: Registered, sealing: Sealing) -> None:
        self._overlap_s = settings.secret_overlap_s
        self._registered = registered
        self._sealing = sealing

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """The two verbs."""
        one = "/v1/subscriptions/{id}"
        return [web.post(f"{one}/secret/rotate", self._rotate), web.post(f"{one}/secret/reveal", self._reveal)]

    async def _rotate(self, request: web.Request) -> web.Response:
        wanted = checked(Rotate, await request.read())
        overlap_s = self._overlap_s if wanted.overlap_s is None else wanted.overlap_s
        made = ""

        def change(present: Subscription) -> Subscription:
            nonlocal made
            keys = self._sealing.keys(present)
            rotated = rotate(keys, wanted.signing or current(keys).kind, overlap_s, time.time())
            made = current(rotated).receiver_key
            return present.changed(sealed_keys=self._sealing.sealed_keys(present.id, rotated))

        subscription = await self._registered.change(request, change)
        log.warning("secret_rotated", subscription=subscription.id, overlap_s=overlap_s)
        return shown(subscription, secret=made)

    async def _reveal(self, request: web.Request) -> web.Response:
        subscription = await self._registered.known(request)
        keys = self._sealing.keys(subscription)
        log.warning("secret_revealed", subscription=subscription.id, remote=request.remote)
        body = {"id": subscription.id, "secret": current(keys).receiver_key}
        return web.json_response(body, headers={"Cache-Control": "no-store"})
