"""Standard Webhooks 1.0: signing and verifying the bytes of a message.

What is signed is `<id>.<timestamp>.<body>`; the signature is `v1,` and the base64 of an HMAC-SHA256.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
import time
from functools import lru_cache
from urllib.parse import quote

SECRET_PREFIX = "whsec_"  # noqa: S105
SECRET_BYTES = 32
TOLERANCE_S = 300
TIMESTAMP_DIGITS = 12
VERSION = "v1"
PLAIN = re.compile(r"[!#$&-\[\]-~]*")


class VerificationError(Exception):
    """A message that must not be trusted; the text says why."""


def generate_secret() -> str:
    """A new secret: `whsec_` and the base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def header_id(event_id: str) -> str:
    """An event's id as it goes into the `webhook-id` header, and is signed: percent-encoded where it is not plain."""
    return event_id if PLAIN.fullmatch(event_id) else quote(event_id, safe="!#$&'()*+,/:;=?@[]-_.~|^`{}<>")


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The `webhook-signature` header's value. Raises ValueError for a secret that is not one."""
    # Header values that are not UTF-8 come as surrogates out of aiohttp.
    content = f"{message_id}.{timestamp_s}.".encode("utf-8", "surrogateescape") + body
    return f"{VERSION},{base64.b64encode(hmac.digest(_key(secret), content, 'sha256')).decode()}"


def verify(
    secret: str, message_id: str, timestamp: str, signature: str, body: bytes, *, now_s: float | None = None
) -> None:
    """Check a message by its headers; raises `VerificationError`.

    `signature` may hold several, separated by spaces: one that fits is enough. The timestamp may be 5 minutes off.
    """
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > TIMESTAMP_DIGITS:
        raise VerificationError("webhook-timestamp is not a number of seconds")
    age_s = (time.time() if now_s is None else now_s) - int(timestamp)
    if abs(age_s) > TOLERANCE_S:
        raise VerificationError(f"webhook-timestamp is {age_s:.0f} s old; at most {TOLERANCE_S} s are allowed")
    expected = sign(secret, message_id, int(timestamp), body).encode()
    for candidate in signature.split(" "):
        if hmac.compare_digest(candidate.encode("utf-8", "surrogateescape"), expected):
            return
    raise VerificationError("no signature fits: another secret, or the message was changed")


@lru_cache(maxsize=4096)
def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret is whsec_ and base64") from error
