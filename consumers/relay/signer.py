"""Signing messages: the `webhook-signature` header of Standard Webhooks 1.0, by all keys that count."""

from __future__ import annotations

import hashlib
import math
from binascii import b2a_base64
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from headrace.consumers.relay.signing_key import SigningKey, current, newest
from headrace.signing import ED25519_VERSION, HMAC_VERSION

Sign = Callable[[bytes], str]

BLOCK_BYTES = 64
"""Of SHA-256."""


class Signer:
    """Signs with each key that has not expired. Immutable: after a rotation, make a new one.

    Keys are decoded and loaded once, here: `sign` runs for every attempt.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        """Raises ValueError where no key is current: there must be a signature at all times."""
        current(keys)
        self._keys: list[tuple[float, Sign]] = [
            (math.inf if key.expires_s is None else key.expires_s, _sign(key)) for key in newest(keys)
        ]

    def sign(self, message_id: str, timestamp_s: int, body: bytes, now_s: float) -> str:
        """The header's value: a signature of each key that has not expired at `now_s`, newest first.

        `message_id` is as in the header `webhook-id`, by `headrace.signing.header_id`.
        """
        content = f"{message_id}.{timestamp_s}.".encode() + body
        return " ".join([sign(content) for expires_s, sign in self._keys if now_s < expires_s])


def _sign(key: SigningKey) -> Sign:
    if key.kind == "hmac":
        return _hmac_sha256(key.material)
    private = Ed25519PrivateKey.from_private_bytes(key.material)
    return lambda content: _text(ED25519_VERSION, private.sign(content))


def _hmac_sha256(secret: bytes) -> Sign:
    """HMAC by RFC 2104 from two states that have taken in the key: `hmac` takes it in anew for every message."""
    block = (hashlib.sha256(secret).digest() if len(secret) > BLOCK_BYTES else secret).ljust(BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block))
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in block))

    def sign(content: bytes) -> str:
        within = inner.copy()
        within.update(content)
        around = outer.copy()
        around.update(within.digest())
        return _text(HMAC_VERSION, around.digest())

    return sign


def _text(version: str, signature: bytes) -> str:
    return f"{version},{b2a_base64(signature, newline=False).decode()}"
