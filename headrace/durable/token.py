"""The offset token: a position on the wire, opaque and URL-safe.

    <sum of the offsets: 16 hex digits> <base64url of: version, identity, partitions, width, packed offsets, CRC-32>

The sum comes first and has a fixed width, so that tokens sort as text along any one read. The offsets are packed with
as many bits each as the largest needs: 32 partitions of 2^40 events fit in 256 characters. The identity is a hash of
the topic's name and one of its id, which a topic that is deleted and made again does not share. The CRC is of all that
comes before it, the sum included.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence

VERSION = 1
SUM_DIGITS = 16
NAME_BYTES = 2
IDENTITY_BYTES = NAME_BYTES + 4
HEADER_BYTES = 1 + IDENTITY_BYTES + 2 + 1
CRC_BYTES = 4

_TOKEN = re.compile(rf"[0-9a-f]{{{SUM_DIGITS}}}[A-Za-z0-9_-]+", re.ASCII)


class MalformedToken(ValueError):
    """The text is no offset token."""


def identity_of(topic: str, topic_id: str) -> bytes:
    """What a token holds of its topic."""
    name, made = (hashlib.sha256(text.encode()).digest() for text in (topic, topic_id))
    return name[:NAME_BYTES] + made[: IDENTITY_BYTES - NAME_BYTES]


def same_name(identity: bytes, other: bytes) -> bool:
    """Whether two identities are of topics with one name (a topic and its successor), as far as 16 bits tell."""
    return identity[:NAME_BYTES] == other[:NAME_BYTES]


def encode_token(position: Sequence[int], identity: bytes) -> str:
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
    total = f"{sum(position):0{SUM_DIGITS}x}"
    body += _crc(total, body)
    return f"{total}{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}"


def decode_token(token: str) -> tuple[tuple[int, ...], bytes]:
    """The position and the topic's identity; raises `MalformedToken`."""
    if _TOKEN.fullmatch(token) is None:
        raise MalformedToken("not an offset token")
    total, text = token[:SUM_DIGITS], token[SUM_DIGITS:]
    try:
        whole = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise MalformedToken("not an offset token") from error
    body, crc = whole[:-CRC_BYTES], whole[-CRC_BYTES:]
    if len(body) < HEADER_BYTES or body[0] != VERSION:
        raise MalformedToken("not an offset token of this version")
    partitions, width = int.from_bytes(body[1 + IDENTITY_BYTES : HEADER_BYTES - 1], "big"), body[HEADER_BYTES - 1]
    if crc != _crc(total, body) or len(body) != HEADER_BYTES + (width * partitions + 7) // 8:
        raise MalformedToken("a damaged offset token")
    packed = int.from_bytes(body[HEADER_BYTES:], "big")
    mask = (1 << width) - 1
    position = tuple(packed >> width * index & mask for index in range(partitions))
    return position, body[1 : 1 + IDENTITY_BYTES]


def _crc(total: str, body: bytes) -> bytes:
    return binascii.crc32(body, binascii.crc32(total.encode())).to_bytes(CRC_BYTES, "big")
