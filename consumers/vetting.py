"""Whether an endpoint may be registered: where its name leads, its TLS identity, and whether it agrees."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from headrace.consumers.relay.credentials import ClientCredentials, Credentials
from headrace.consumers.relay.guard import Guard
from headrace.consumers.relay.handshake import NotAgreed, agree
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.target import Target
from headrace.consumers.subscription_request import Wanted
from headrace.http.problems import Problem
from headrace.settings import ServeSettings

VET_S = 5.0
"""How long the look-up of an endpoint's name may take when it is registered."""


class Vetting:
    """Raises `Problem` 400 for what may not be registered."""

    def __init__(self, settings: ServeSettings) -> None:
        self._origin = settings.webhook_origin
        self._client = HttpClient(VET_S, guard=Guard(settings.webhook_allow, settings.webhook_ports))

    async def vet(self, url: str | None, credentials: Credentials) -> None:
        """Refuse an endpoint, or a server of tokens, that must not be sent to, and a TLS identity that is none."""
        targets: dict[str, Callable[[], Target]] = {}
        if url is not None:
            targets["/url"] = lambda: Target.of(url)
            if credentials.tls is not None:
                targets["/tls"] = lambda: Target.of(url, credentials.client_tls())
        if isinstance(auth := credentials.auth, ClientCredentials):
            token_url = auth.token_url
            targets["/auth/token_url"] = lambda: Target.of(token_url)
        for pointer, target in targets.items():
            try:
                await self._client.vet(target())
            except ValueError as error:
                where = pointer.strip("/").replace("/", ".")
                raise Problem(HTTPStatus.BAD_REQUEST, f"{where}: {error}.", errors=[{"pointer": pointer}]) from None

    async def agree(self, wanted: Wanted) -> int | None:
        """Ask the endpoint, by the handshake of CloudEvents; gives the requests a minute that it allows."""
        rate = wanted.rate_limit_per_s
        per_min = None if rate is None else max(int(rate * 60), 1)
        try:
            target = Target.of(wanted.url or "", wanted.client_tls())
            return await agree(self._client, target, self._origin, per_min)
        except NotAgreed as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"url: {error}.", errors=[{"pointer": "/url"}]) from None

    def close(self) -> None:
        """Close its connections."""
        self._client.close()
