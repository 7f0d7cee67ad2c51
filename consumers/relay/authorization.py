"""The Authorization header of requests to an endpoint: fixed, or by a token that is fetched and kept while it lasts."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Protocol
from urllib.parse import quote_plus, urlencode

import orjson

from headrace.consumers.relay.connection import AttemptFailed
from headrace.consumers.relay.credentials import Auth, Basic, Bearer, ClientCredentials
from headrace.consumers.relay.http_client import HttpClient
from headrace.consumers.relay.target import Target

EARLY_S = 30.0
"""A token is fetched anew so long before it ends."""
MAX_ANSWER_BYTES = 16 * 1024
DEFAULT_S = 300.0
"""How long a token is used that does not say how long it lasts."""


class NotAuthorized(Exception):
    """No token is to be had; the text says why."""


class Authorization(Protocol):
    """Gives the header's value."""

    async def header(self) -> str:
        """The value; raises `NotAuthorized`."""

    def refused(self, value: str) -> None:
        """The endpoint answered 401 to a value."""


def authorization(auth: Auth, client: HttpClient) -> Authorization:
    """The authorization that credentials give. Raises ValueError for a token URL that is none."""
    if isinstance(auth, Basic):
        pair = f"{auth.username}:{auth.password.get_secret_value()}"
        return _Fixed(f"Basic {base64.b64encode(pair.encode()).decode()}")
    if isinstance(auth, Bearer):
        return _Fixed(f"Bearer {auth.token.get_secret_value()}")
    return _Fetched(auth, client)


class _Fixed:
    def __init__(self, value: str) -> None:
        self._value = value

    async def header(self) -> str:
        return self._value

    def refused(self, value: str) -> None:
        """It stays what it is."""


class _Fetched:
    """OAuth 2.0 client credentials (RFC 6749, section 4.4). Attempts that need a token at the same time fetch one."""

    def __init__(self, credentials: ClientCredentials, client: HttpClient) -> None:
        self._credentials = credentials
        self._client = client
        self._target = Target.of(credentials.token_url)
        self._value = ""
        self._until_s = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def header(self) -> str:
        while time.time() >= self._until_s:
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.ensure_future(self._fetch())
            await asyncio.shield(self._fetching)
        return self._value

    def refused(self, value: str) -> None:
        if value == self._value:  # of several requests only the first; by the second there may be a new one
            self._until_s = 0.0

    async def _fetch(self) -> None:
        given = self._credentials
        # Section 2.3.1: encoded as a form's field before they are a pair.
        pair = f"{quote_plus(given.client_id)}:{quote_plus(given.client_secret.get_secret_value())}"
        form = {"grant_type": "client_credentials", **({"scope": given.scope} if given.scope else {})}
        headers = {
            "authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        try:
            answer = await self._client.request(
                "POST", self._target, headers, urlencode(form).encode(), keep_bytes=MAX_ANSWER_BYTES
            )
        except AttemptFailed as error:
            raise NotAuthorized(f"token: {error}") from None
        if answer.status != 200:
            raise NotAuthorized(f"token: answered {answer.status}")
        try:
            told = orjson.loads(answer.body)
            token, kind = str(told["access_token"]), str(told.get("token_type", "Bearer"))
            lasts_s = float(told.get("expires_in", DEFAULT_S))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NotAuthorized("token: the answer holds no access_token") from None
        if kind.lower() != "bearer" or not token.isascii() or not token.isprintable():
            raise NotAuthorized("token: only bearer tokens are taken")
        self._value = f"Bearer {token}"
        self._until_s = time.time() + max(lasts_s - EARLY_S, min(lasts_s, 1.0))
