"""The offset token: a position on the wire, opaque and URL-safe.

    <sum of the offsets: 16 hex digits> <base64url of: version, topic's identity, partitions, width, packed offsets>

The sum comes first and has a fixed width, so that tokens sort as text along any one read. The offsets are packed with
as many bits each as the largest needs: 32 partitions of 2^40 events fit in 256 characters. The identity is a hash of
the topic's id, which a topic that is deleted and made again does not share. The sum also tells a damaged token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from headrace.consumers.core.position import MalformedPosition, Position

VERSION = 1
SUM_DIGITS = 16
IDENTITY_BYTES = 6
HEADER_BYTES = 1 + IDENTITY_BYTES + 2 + 1


def identity_of(topic_id: str) -> bytes:
    """What a token holds of its topic."""
    return hashlib.sha256(topic_id.encode()).digest()[:IDENTITY_BYTES]


def encode_token(position: Position, identity: bytes) -> str:
    """The token of a position."""
    width = max(position, default=0).bit_length()
    packed = 0
    for offset in reversed(position):
        packed = packed << width | offset
    size = (width * len(position) + 7) // 8
    body = b"".join(
        (
            bytes((VERSION,)),
            identity,
            len(position).to_bytes(2, "big"),
            bytes((width,)),
            packed.to_bytes(size, "big"),
        )
    )
    return f"{sum(position):0{SUM_DIGITS}x}{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}"


def decode_token(token: str) -> tuple[Position, bytes]:
    """The position and the topic's identity; raises `MalformedPosition`."""
    try:
        body = base64.b64decode(token[SUM_DIGITS:] + "=" * (-len(token[SUM_DIGITS:]) % 4), b"-_", validate=True)
        total = int(token[:SUM_DIGITS], 16)
    except (binascii.Error, ValueError) as error:
        raise MalformedPosition("not an offset token") from error
    if len(body) < HEADER_BYTES or body[0] != VERSION:
        raise MalformedPosition("not an offset token of this version")
    partitions, width = int.from_bytes(body[1 + IDENTITY_BYTES : HEADER_BYTES - 1], "big"), body[HEADER_BYTES - 1]
    packed = int.from_bytes(body[HEADER_BYTES:], "big")
    mask = (1 << width) - 1
    position = tuple(packed >> width * index & mask for index in range(partitions))
    if sum(position) != total or len(body) != HEADER_BYTES + (width * partitions + 7) // 8:
        raise MalformedPosition("a damaged offset token")
    return position, body[1 : 1 + IDENTITY_BYTES]
