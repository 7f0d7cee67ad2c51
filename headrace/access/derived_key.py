"""Short-lived statements that services make to each other and to themselves, signed with the keys that all share.

A signature is HMAC-SHA256 with a key derived by HKDF (RFC 5869) from one of `HEADRACE_SECRET_KEYS`, a separate one for
each purpose: the first signs, all verify.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from headrace.secret_keys import KEY_BYTES, SecretKey

MAX_CHARACTERS = 8192


class BadSignature(Exception):
    """Not signed with a key that is known here, or changed since."""


class Signer:
    """Signs and verifies for one purpose. A signed text is `<key id>.<base64url of payload>.<base64url of MAC>`."""

    def __init__(self, keys: Sequence[SecretKey], purpose: str) -> None:
        self._keys = {key.id: _derive(key, purpose) for key in keys}
        self._first = keys[0].id

    def sign(self, payload: bytes) -> str:
        """The payload, signed; it can be read by whoever has it."""
        signed = f"{self._first}.{_encode(payload)}"
        return f"{signed}.{_encode(self._mac(self._first, signed))}"

    def verify(self, text: str) -> bytes:
        """The payload; raises `BadSignature`."""
        if len(text) > MAX_CHARACTERS or not text.isascii():
            raise BadSignature
        signed, _, mac = text.rpartition(".")
        key_id, _, payload = signed.partition(".")
        if key_id not in self._keys or not hmac.compare_digest(_encode(self._mac(key_id, signed)), mac):
            raise BadSignature
        try:
            return base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            raise BadSignature from None

    def _mac(self, key_id: str, signed: str) -> bytes:
        return hmac.new(self._keys[key_id], signed.encode(), hashlib.sha256).digest()


def _derive(key: SecretKey, purpose: str) -> bytes:
    info = f"headrace {purpose}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key.material)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
