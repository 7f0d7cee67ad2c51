"""The ack id: what a worker acknowledges an event with. Opaque to it, good for one delivery of one event.

base64url of: CRC-32 of the subscription, epoch, partition, offset, number of the delivery
"""

from __future__ import annotations

import binascii
import struct
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

_PACKED = struct.Struct(">IQIQH")


class AckId(NamedTuple):
    """What an ack id says. `subscription` is `whose` of the subscription."""

    subscription: int
    epoch: int
    partition: int
    offset: int
    number: int

    def __str__(self) -> str:
        return urlsafe_b64encode(_PACKED.pack(*self)).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> AckId | None:
        """What a text says; None where it is no ack id."""
        try:
            return cls(*_PACKED.unpack(urlsafe_b64decode(text + "=" * (-len(text) % 4))))
        except (struct.error, binascii.Error, ValueError):
            return None


def whose(state_key: str) -> int:
    """What ack ids hold of their subscription."""
    return zlib.crc32(state_key.encode())
