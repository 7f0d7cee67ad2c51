"""From a request's headers and query to a credential."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from aiohttp import web

from headrace.access.credential import Credential, Denied
from headrace.access.key_table import KeyTable
from headrace.access.query_token import PREFIX, QueryTokens
from headrace.access.quotas import Quotas

KEY_PREFIX = "hr_"
QUERY = "access_token"
"""The parameter that RFC 6750 section 2.3 names."""
MISSING = (
    "This needs a key or a token: `Authorization: Bearer ...` or `X-API-Key: ...`. `headrace keys create` makes keys."
)


class Verifier(Protocol):
    """Verifies JWTs."""

    async def verify(self, text: str) -> Credential:
        """The credential of a token; raises `Denied`."""


class Authenticator:
    """Keys, browser tokens and JWTs, told apart by how they begin."""

    def __init__(self, keys: KeyTable, tokens: QueryTokens | None, jwts: Verifier | None, quotas: Quotas) -> None:
        self._keys = keys
        self._tokens = tokens
        self._jwts = jwts
        self._quotas = quotas

    async def credential(self, request: web.Request) -> Credential:
        """What the request was sent with; raises `Denied` where there is nothing, or it does not hold."""
        given = [*_in_headers(request), *((text, True) for text in request.query.getall(QUERY, ()))]
        if not given:
            raise Denied(MISSING)
        if len(given) > 1:
            raise Denied("There is more than one key or token: send one.")
        text, in_query = given[0]
        if text.startswith(PREFIX):
            return self._of_token(text)
        if in_query:
            # A URL is written to logs and histories on its way.
            raise Denied("Only a token of POST /v1/tokens may be in the query; others go into a header.")
        if text.startswith(KEY_PREFIX):
            return self._keys.verify(text)
        if self._jwts is None:
            raise Denied("This is no key, hr_<id>_<secret>, and JWTs are not taken here.")
        return await self._jwts.verify(text)

    def _of_token(self, text: str) -> Credential:
        if self._tokens is None:
            raise Denied("Browser tokens are not taken here: this service only writes.")
        credential = self._tokens.verify(text)
        quotas = self._quotas if credential.key_id is None else self._keys.quotas_of(credential.key_id)
        return replace(credential, quotas=quotas)


def _in_headers(request: web.Request) -> list[tuple[str, bool]]:
    found = [(text.strip(), False) for text in request.headers.getall("X-API-Key", ())]
    for value in request.headers.getall("Authorization", ()):
        scheme, _, text = value.partition(" ")
        if scheme.lower() != "bearer":
            raise Denied("Authorization takes the scheme Bearer here.")
        found.append((text.strip(), False))
    return found
