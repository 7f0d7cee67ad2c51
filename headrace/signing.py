"""Standard Webhooks 1.0: the receiver's half, and signing with a shared secret.

What is signed is the bytes `<id>.<timestamp>.<body>`. A signature is a version, a comma and base64:

| version | made with | verified with |
|---|---|---|
| `v1` | HMAC-SHA256, `whsec_` and the base64 of 24 to 64 bytes | the same |
| `v1a` | ed25519, a secret key that stays with the relay | `whpk_` and the base64 of the public key's 32 bytes |

Verifying `v1a` needs the package `cryptography`, which the bare client does not bring.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from urllib.parse import quote

from headrace.errors import Misconfigured

SECRET_PREFIX = "whsec_"  # noqa: S105
PUBLIC_PREFIX = "whpk_"
PRIVATE_PREFIX = "whsk_"
SECRET_BYTES = 32
FEWEST_BYTES, MOST_BYTES = 24, 64
PUBLIC_BYTES = 32
TOLERANCE_S = 300
TIMESTAMP_DIGITS = 12
HMAC_VERSION = "v1"
ED25519_VERSION = "v1a"
PLAIN = re.compile(r"[!#$&-\[\]-~]*")

Fits = Callable[[bytes, Sequence[bytes]], bool]
"""Whether one of the signatures is of the content."""


class VerificationError(Exception):
    """A message that must not be trusted; the text says why."""


def generate_secret() -> str:
    """A new secret: `whsec_` and the base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def header_id(event_id: str) -> str:
    """An event's id as it goes into the `webhook-id` header, and is signed: percent-encoded where it is not plain."""
    return event_id if PLAIN.fullmatch(event_id) else quote(event_id, safe="!#$&'()*+,/:;=?@[]-_.~|^`{}<>")


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The `webhook-signature` of a message, by a `whsec_` secret. Raises ValueError for a secret that is not one."""
    digest = hmac.digest(_secret_bytes(secret), _content(message_id, timestamp_s, body), "sha256")
    return f"{HMAC_VERSION},{base64.b64encode(digest).decode()}"


def check_key(key: str) -> None:
    """Raise unless messages can be verified with the key, a `whsec_` secret or a `whpk_` public key.

    Raises ValueError where it is neither (the text does not hold the key), and `Misconfigured` where `cryptography` is
    not installed and it takes that.
    """
    _verifier(key)


def verify(
    key: str, message_id: str, timestamp: str, signature: str, body: bytes, *, now_s: float | None = None
) -> None:
    """Check a message by its headers and a `whsec_` secret or `whpk_` public key; raises `VerificationError`.

    `signature` may hold several, separated by spaces: one that fits is enough. The timestamp may be 5 minutes off.
    Raises what `check_key` raises for a key that is not one.
    """
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > TIMESTAMP_DIGITS:
        raise VerificationError("webhook-timestamp is not a number of seconds")
    age_s = (time.time() if now_s is None else now_s) - int(timestamp)
    if abs(age_s) > TOLERANCE_S:
        raise VerificationError(f"webhook-timestamp is {age_s:.0f} s old; at most {TOLERANCE_S} s are allowed")
    version, fits = _verifier(key)
    candidates = _signatures(signature, version)
    if not candidates:
        raise VerificationError(f"no signature fits: none is of the version {version}, which the key is for")
    if not fits(_content(message_id, timestamp, body), candidates):
        raise VerificationError("no signature fits: another secret, or the message was changed")


def _content(message_id: str, timestamp: int | str, body: bytes) -> bytes:
    # Header values that are not UTF-8 come as surrogates out of aiohttp.
    return f"{message_id}.{timestamp}.".encode("utf-8", "surrogateescape") + body


def _signatures(header: str, version: str) -> list[bytes]:
    """The signatures of a version; what is not base64 is none."""
    found = []
    for candidate in header.split(" "):
        of, _, encoded = candidate.partition(",")
        if of == version and encoded:
            try:
                found.append(base64.b64decode(encoded, validate=True))
            except ValueError:
                continue
    return found


@lru_cache(maxsize=4096)
def _verifier(key: str) -> tuple[str, Fits]:
    if key.startswith(PUBLIC_PREFIX):
        return ED25519_VERSION, _ed25519(_decoded(key, PUBLIC_PREFIX))
    if key.startswith(PRIVATE_PREFIX):
        raise ValueError("a whsk_ key is the sender's own; a receiver verifies with the whpk_ key that belongs to it")
    return HMAC_VERSION, _hmac(_secret_bytes(key))


def _hmac(secret: bytes) -> Fits:
    def fits(content: bytes, candidates: Sequence[bytes]) -> bool:
        expected = hmac.digest(secret, content, "sha256")
        return any(hmac.compare_digest(candidate, expected) for candidate in candidates)

    return fits


def _ed25519(public: bytes | None) -> Fits:
    if public is None or len(public) != PUBLIC_BYTES:
        raise ValueError(f"a public key is {PUBLIC_PREFIX} and base64 of {PUBLIC_BYTES} bytes")
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise Misconfigured(
            "Signatures v1a (a whpk_ key) are verified by the package cryptography. Run: pip install cryptography"
        ) from None
    key = Ed25519PublicKey.from_public_bytes(public)

    def fits_one(content: bytes, candidate: bytes) -> bool:
        try:
            key.verify(candidate, content)
        except InvalidSignature:
            return False
        return True

    return lambda content, candidates: any(fits_one(content, candidate) for candidate in candidates)


@lru_cache(maxsize=4096)
def _secret_bytes(secret: str) -> bytes:
    found = _decoded(secret, SECRET_PREFIX)
    if found is None or not FEWEST_BYTES <= len(found) <= MOST_BYTES:
        raise ValueError(f"a secret is {SECRET_PREFIX} and base64 of {FEWEST_BYTES} to {MOST_BYTES} bytes")
    return found


def _decoded(key: str, prefix: str) -> bytes | None:
    if not key.startswith(prefix):
        return None
    try:
        return base64.b64decode(key.removeprefix(prefix), validate=True)
    except ValueError:
        return None
