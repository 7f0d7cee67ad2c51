"""The keys that sign a subscription's messages: made, replaced with an overlap, and as bytes for the vault."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from headrace.signing import PUBLIC_PREFIX, SECRET_PREFIX

Kind = Literal["hmac", "ed25519"]

KEY_BYTES = 32
"""Of a new HMAC secret, and of an ed25519 secret key (the seed of RFC 8032)."""

MAX_FORMER = 10
MAX_OVERLAP_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key: `material` is an HMAC secret or an ed25519 seed. The one without `expires_s` is the current one.

    `created_s` and `expires_s` are seconds since 1970.
    """

    kind: Kind
    material: bytes = field(repr=False)
    created_s: float
    expires_s: float | None = None

    @property
    def receiver_key(self) -> str:
        """What a receiver verifies with: the `whsec_` secret, or the `whpk_` public key, which is no secret."""
        if self.kind == "hmac":
            return SECRET_PREFIX + base64.b64encode(self.material).decode()
        public = Ed25519PrivateKey.from_private_bytes(self.material).public_key().public_bytes_raw()
        return PUBLIC_PREFIX + base64.b64encode(public).decode()


def new_signing_key(kind: Kind, now_s: float) -> SigningKey:
    """A new current key."""
    return SigningKey(kind, secrets.token_bytes(KEY_BYTES), now_s)


def rotate(keys: Sequence[SigningKey], kind: Kind, overlap_s: float, now_s: float) -> tuple[SigningKey, ...]:
    """A new current key, then the former ones, newest first, which expire after the overlap (0: at once).

    None lives longer than it did before. Those that have expired are dropped, and the oldest beyond 10. Raises
    ValueError for an overlap that is not 0 to 7 days.
    """
    if not 0 <= overlap_s <= MAX_OVERLAP_S:
        raise ValueError(f"the overlap is 0 to {MAX_OVERLAP_S} s (7 days)")
    end_s = now_s + overlap_s
    former = [
        replace(key, expires_s=end_s if key.expires_s is None else min(key.expires_s, end_s)) for key in newest(keys)
    ]
    alive = [key for key in former if key.expires_s is not None and key.expires_s > now_s]
    return (new_signing_key(kind, now_s), *alive[:MAX_FORMER])


def newest(keys: Sequence[SigningKey]) -> list[SigningKey]:
    """The keys, newest first; those of the same moment stay as they are."""
    return sorted(keys, key=lambda key: key.created_s, reverse=True)


def current(keys: Sequence[SigningKey]) -> SigningKey:
    """The key that does not expire. Raises ValueError where there is none."""
    for key in newest(keys):
        if key.expires_s is None:
            return key
    raise ValueError("no key is current")


def pack(keys: Sequence[SigningKey]) -> bytes:
    """All keys of a subscription as JSON, to be sealed as one secret."""
    return orjson.dumps([_members(key) for key in keys])


def unpack(packed: bytes) -> tuple[SigningKey, ...]:
    """The keys that `pack` packed; raises ValueError, whose text holds nothing of them."""
    try:
        return tuple(_key(**members) for members in orjson.loads(packed))
    except (KeyError, TypeError, ValueError):
        raise ValueError("these are not packed signing keys") from None


def _members(key: SigningKey) -> dict[str, Any]:
    return {
        "kind": key.kind,
        "material": base64.b64encode(key.material).decode(),
        "created_s": key.created_s,
        "expires_s": key.expires_s,
    }


def _key(*, kind: Kind, material: str, created_s: float, expires_s: float | None) -> SigningKey:
    if kind not in ("hmac", "ed25519"):
        raise ValueError(kind)
    return SigningKey(kind, base64.b64decode(material, validate=True), created_s, expires_s)
