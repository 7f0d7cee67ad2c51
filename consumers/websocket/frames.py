"""What a server sends: frames without a mask, so that the same bytes go to every client (RFC 6455 section 5)."""

from __future__ import annotations

import enum

FIN = 0x80
RSV1 = 0x40
MAX_CONTROL_BYTES = 125
REASON_BYTES = MAX_CONTROL_BYTES - 2


class Opcode(enum.IntEnum):
    """Section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(enum.IntEnum):
    """Why a connection ends: RFC 6455 section 7.4.1, IANA's registry, and, from 4000 on, ours."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    RESUME = 4000
    """The planned end of a long connection: come again at once, with the last offset."""
    UNAUTHORIZED = 4401
    """As HTTP's 401: the credential was revoked or has expired."""
    GONE = 4410
    """As HTTP's 410: the events after the position, or the topic, are no more."""


def frame(opcode: Opcode, payload: bytes, *, compressed: bool = False) -> bytes:
    """A whole message, or a control frame, in one frame."""
    first = FIN | opcode | (RSV1 if compressed else 0)
    size = len(payload)
    if size < 126:
        head = bytes((first, size))
    elif size < 1 << 16:
        head = bytes((first, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 127)) + size.to_bytes(8, "big")
    return head + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; a reason that is too long for it is left out, since half of an offset token is of no use."""
    told = reason.encode()
    return frame(Opcode.CLOSE, code.to_bytes(2, "big") + (told if len(told) <= REASON_BYTES else b""))


PING = frame(Opcode.PING, b"")
EMPTY_CLOSE = frame(Opcode.CLOSE, b"")
