"""JWTs of an identity provider (RFC 7519, and the advice of RFC 8725): who signed, for whom, until when."""

from __future__ import annotations

import base64
import hashlib
import time
import warnings
from collections.abc import Callable
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError, SecurityWarning
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from headrace.access.credential import Credential, Denied
from headrace.access.jwks import Jwks
from headrace.access.quotas import Quotas
from headrace.access.scopes import InvalidScope, Scope

# EdDSA's other name, Ed25519, is of RFC 9864; providers use both.
ALGORITHMS = ("ES256", "RS256", "EdDSA", "Ed25519")
LEEWAY_S = 30
"""How far a provider's clock may be ahead. Expiry has no leeway."""
MAX_CHARACTERS = 8192
REMEMBERED = 10_000

warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)


class JwtVerifier:
    """Verifies JWTs. One that was verified is remembered until it expires, or the keys change."""

    def __init__(
        self, jwks: Jwks, *, issuer: str, audience: str, quotas: Quotas, clock: Callable[[], float] = time.time
    ) -> None:
        self._jwks = jwks
        self._quotas = quotas
        self._clock = clock
        # Headers that nobody has to understand (RFC 7515 section 4.1.11) are no reason to refuse.
        self._registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        self._registry.max_header_length = MAX_CHARACTERS
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        self._verified: dict[bytes, tuple[int, Credential]] = {}

    async def verify(self, text: str) -> Credential:
        """The credential of a token; raises `Denied`."""
        if len(text) > MAX_CHARACTERS or not text.isascii():
            raise Denied(f"The token is longer than {MAX_CHARACTERS} characters, or has others than a JWT.")
        digest = hashlib.sha256(text.encode()).digest()
        version, credential = self._verified.get(digest, (-1, None))
        if credential is None or version != self._jwks.version:
            credential = await self._verify(text)
            if len(self._verified) >= REMEMBERED:
                self._verified.clear()
            self._verified[digest] = (self._jwks.version, credential)
        if credential.expires_s is None or credential.expires_s <= self._clock():
            self._verified.pop(digest, None)
            raise Denied("The token has expired.")
        return credential

    async def _verify(self, text: str) -> Credential:
        header = _header(text)
        if header.get("alg") not in ALGORITHMS:
            raise Denied(f"The token's alg must be one of {', '.join(ALGORITHMS)}.")
        kid = header.get("kid")
        key = await self._jwks.key(kid if isinstance(kid, str) else None)
        if key is None:
            raise Denied("The token is signed with a key that is not in the set of keys (kid).")
        try:
            claims = jwt.decode(text, key, algorithms=ALGORITHMS, registry=self._registry).claims
            self._claims.validate(claims)
        except ExpiredTokenError:
            raise Denied("The token has expired.") from None
        except (JoseError, ValueError, TypeError) as error:
            raise Denied(f"The token does not hold: {_reason(error)}.") from None
        return Credential(
            f"jwt:{claims['iss']}#{claims['sub']}",
            _scopes(claims.get("scope")),
            None,
            float(claims["exp"]),
            self._quotas,
        )


def _header(text: str) -> dict[str, Any]:
    """The header, which is not verified yet: it only says which key to look for."""
    encoded = text.partition(".")[0]
    try:
        header = orjson.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise Denied("This is neither a key, hr_<id>_<secret>, nor a JWT.")
    return header


def _scopes(claim: object) -> tuple[Scope, ...]:
    """Ours among the scopes of a token, which may hold those of others (`openid`)."""
    found = []
    for text in claim.split() if isinstance(claim, str) else []:
        try:
            found.append(Scope.parse(text))
        except InvalidScope:
            continue
    return tuple(found)


def _reason(error: Exception) -> str:
    claim = getattr(error, "claim", None)
    return f"its {claim} is missing or not as demanded" if claim else type(error).__name__
