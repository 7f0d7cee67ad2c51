"""permessage-deflate (RFC 7692), without context takeover in either direction.

So a compressed message is the same bytes for all clients that agreed on the same window, and a connection holds no
compressor's memory while it is quiet.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

NAME = "permessage-deflate"
MAX_WINDOW_BITS = 15
MIN_WINDOW_BITS = 9
"""zlib cannot make raw deflate with a window of 8 bits: such an offer is declined."""
MIN_BYTES = 256
"""Smaller messages are sent as they are (section 6: a sender may choose for each)."""
LEVEL = 1
TAIL = b"\x00\x00\xff\xff"


class TooBig(Exception):
    """A message inflates to more than is taken."""


@dataclass(frozen=True, slots=True)
class Deflate:
    """What was agreed. `window_bits` is the server's; None where the client named none."""

    window_bits: int | None = None

    @property
    def answer(self) -> str:
        """The value of Sec-WebSocket-Extensions."""
        window = "" if self.window_bits is None else f"; server_max_window_bits={self.window_bits}"
        return f"{NAME}; server_no_context_takeover; client_no_context_takeover{window}"

    def compress(self, message: bytes) -> bytes:
        """A message without the four bytes that its receiver adds (section 7.2.1)."""
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -(self.window_bits or MAX_WINDOW_BITS))
        return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)

    def inflate(self, payload: bytes, max_bytes: int) -> bytes:
        """The message; raises `TooBig`, `zlib.error`."""
        left, message = payload + TAIL, b""
        while left:
            inflater = zlib.decompressobj(-MAX_WINDOW_BITS)
            message += inflater.decompress(left, max_bytes + 1 - len(message))
            if len(message) > max_bytes:
                raise TooBig
            # A block that says it is the last may be followed by others (section 7.2.3.5).
            left = inflater.unused_data if inflater.eof else b""
        return message


def negotiate(offers: Iterable[str]) -> Deflate | None:
    """What is agreed of the values of Sec-WebSocket-Extensions: the first offer that can be met, or none."""
    for offer in (part for value in offers for part in value.split(",")):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == NAME and (agreed := _agreed(parameters)) is not None:
            return agreed
    return None


def _agreed(parameters: list[str]) -> Deflate | None:
    """None for an offer that must be declined: a parameter that is unknown, repeated or out of range (section 7.1)."""
    values: dict[str, str | None] = {}
    for parameter in parameters:
        name, equals, text = (part.strip() for part in parameter.partition("="))
        if name in values:
            return None
        values[name] = text.strip('"') if equals else None
    for name, value in values.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
        elif name == "client_max_window_bits":
            if value is not None and _bits(value, 8) is None:
                return None
        elif name != "server_max_window_bits" or value is None or _bits(value, MIN_WINDOW_BITS) is None:
            return None
    window = values.get("server_max_window_bits")
    return Deflate(None if window is None else int(window))


def _bits(text: str, least: int) -> int | None:
    """Decimal without a leading zero (section 7.1.2)."""
    if not (text.isascii() and text.isdigit()) or text.startswith("0") or len(text) > 2:
        return None
    return int(text) if least <= int(text) <= MAX_WINDOW_BITS else None
