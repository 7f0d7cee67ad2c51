"""What a gateway shows to a relay, so that nobody else can call one: a statement that it holds the shared keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from headrace.access.derived_key import BadSignature, Signer
from headrace.secret_keys import SecretKey

PREFIX = "hri_"
LIFE_S = 60.0
"""How long one is valid: the clocks of gateways and relays may differ by less."""


class InternalTokens:
    """Makes and verifies them."""

    def __init__(self, keys: Sequence[SecretKey], clock: Callable[[], float] = time.time) -> None:
        self._signer = Signer(keys, "internal call v1")
        self._clock = clock

    def headers(self) -> dict[str, str]:
        """The headers of a call."""
        expires_s = self._clock() + LIFE_S
        return {"Authorization": f"Bearer {PREFIX}{self._signer.sign(repr(expires_s).encode())}"}

    def holds(self, text: str) -> bool:
        """Whether this is one that is still valid."""
        if not text.startswith(PREFIX):
            return False
        try:
            return float(self._signer.verify(text.removeprefix(PREFIX))) > self._clock()
        except BadSignature:
            return False
