"""Secrets at rest: sealed before they are written to Kafka, opened where they are used.

A sealed secret is `<key id>:<base64url of nonce and ciphertext>`, by AES-256-GCM (NIST SP 800-38D) with a random nonce
of 96 bits. Its context is authenticated with it: sealed for one subscription it does not open for another.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headrace.secret_keys import HOW, VARIABLE, SecretKey, secret_keys
from headrace.settings import SecretsSettings

NONCE_BYTES = 12


class CannotSeal(Exception):
    """There is no key to seal with; the text says how to get one."""


class CannotOpen(Exception):
    """A sealed secret that does not open; the text says why, and holds nothing of the secret."""


class Vault:
    """Seals with the first key, opens with all. Without a key it does neither, and says so when it is asked."""

    def __init__(self, keys: Sequence[SecretKey]) -> None:
        self._ciphers = {key.id: AESGCM(key.material) for key in keys}
        self._first = keys[0].id if keys else None

    @classmethod
    def of(cls, settings: SecretsSettings) -> Vault:
        """The vault of a service; raises `Misconfigured` for keys that are none, or lacking where they must be."""
        return cls(secret_keys(settings))

    def seal(self, plain: bytes, context: str) -> str:
        """Encrypt a secret. `context` says whose and what it is, and must be the same to open it. Raises `CannotSeal`.

        The same secret sealed twice is two different texts.
        """
        if self._first is None:
            raise CannotSeal(f"A secret cannot be stored: there is no key to encrypt it with. Set {VARIABLE}. {HOW}")
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._ciphers[self._first].encrypt(nonce, plain, context.encode())
        return f"{self._first}:{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, context: str) -> bytes:
        """Decrypt a secret. Raises `CannotOpen`."""
        key_id, _, encoded = sealed.partition(":")
        try:
            raw = base64.b64decode(encoded, altchars=b"-_", validate=True)
        except ValueError:
            raise CannotOpen("this is not a sealed secret") from None
        if len(raw) <= NONCE_BYTES:
            raise CannotOpen("this is not a sealed secret")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            have = f"the keys are {', '.join(self._ciphers)}" if self._ciphers else "there is no key"
            raise CannotOpen(f"it is sealed with the key {key_id[:32]!r}, and {have}: add that one to {VARIABLE}")
        try:
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode())
        except InvalidTag:
            raise CannotOpen(
                f"the key {key_id!r} does not open it: that is another key under the same id, or it was sealed for "
                "something else, or changed"
            ) from None

    def needs_renewal(self, sealed: str) -> bool:
        """Whether it is sealed with another key than the first: opened and sealed anew, that key can be dropped."""
        return self._first is not None and sealed.partition(":")[0] != self._first
