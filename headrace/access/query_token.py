"""Browser tokens: what EventSource and WebSocket can carry, in the query. Short-lived, to read and subscribe only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import orjson

from headrace.access.credential import Credential, Denied
from headrace.access.derived_key import BadSignature, Signer
from headrace.access.scopes import Action, Scope, parse_scopes
from headrace.secret_keys import SecretKey

PREFIX = "hrt_"
MAX_TTL_S = 3600
ACTIONS = (Action.READ, Action.SUBSCRIBE)


class QueryTokens:
    """Makes and verifies them. A token says whom it was made for: it ends with that key, and uses its quotas."""

    def __init__(self, keys: Sequence[SecretKey], clock: Callable[[], float] = time.time) -> None:
        self._signer = Signer(keys, "browser token v1")
        self._clock = clock

    def make(self, by: Credential, scopes: Sequence[Scope], ttl_s: float) -> tuple[str, float]:
        """A token and when it expires; never after the credential it is made with."""
        expires_s = self._clock() + ttl_s
        if by.expires_s is not None:
            expires_s = min(expires_s, by.expires_s)
        members = {"p": by.principal, "k": by.key_id, "s": [str(scope) for scope in scopes], "e": expires_s}
        return PREFIX + self._signer.sign(orjson.dumps(members)), expires_s

    def verify(self, text: str) -> Credential:
        """The credential of a token, without quotas; raises `Denied`."""
        try:
            members = orjson.loads(self._signer.verify(text.removeprefix(PREFIX)))
        except BadSignature:
            raise Denied("The token is none of this cluster's, or was changed.") from None
        if members["e"] <= self._clock():
            raise Denied("The token has expired: make another with POST /v1/tokens.")
        return Credential(members["p"], parse_scopes(members["s"]), members["k"], members["e"], may_delegate=False)
