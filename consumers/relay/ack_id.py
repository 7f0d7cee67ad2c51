"""The ack id: what a worker acknowledges an event with. Opaque to it, good for one delivery of one event.

The hex digits of: CRC-32 of the subscription, epoch, partition, offset, number of the delivery
"""

from __future__ import annotations

import struct
import zlib
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
        return _PACKED.pack(*self).hex()

    @classmethod
    def parse(cls, text: str) -> AckId | None:
        """What a text says; None where it is no ack id."""
        try:
            return cls._make(_PACKED.unpack(bytes.fromhex(text)))
        except (struct.error, ValueError):
            return None


def whose(state_key: str) -> int:
    """What ack ids hold of their subscription."""
    return zlib.crc32(state_key.encode())
