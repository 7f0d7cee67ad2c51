"""What a client sends: masked frames, put together to messages, and refused where RFC 6455 says so."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator

from headrace.consumers.websocket.deflate import Deflate, TooBig
from headrace.consumers.websocket.frames import FIN, MAX_CONTROL_BYTES, RSV1, CloseCode, Opcode

MASK_BYTES = 4
_DATA = (Opcode.TEXT, Opcode.BINARY)
_CONTROL = (Opcode.CLOSE, Opcode.PING, Opcode.PONG)
_utf8 = codecs.getincrementaldecoder("utf-8")

Message = tuple[Opcode, bytes]
"""A whole text (valid UTF-8) or binary message, or a control frame."""


class Violation(Exception):
    """The connection must be failed with this code (section 7.1.7)."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Parser:
    """Takes bytes as they come and gives messages. It holds at most `max_bytes` of a message that is not whole."""

    __slots__ = ("_buffer", "_compressed", "_decoder", "_deflate", "_max_bytes", "_message", "_opcode")

    def __init__(self, max_bytes: int, deflate: Deflate | None) -> None:
        self._max_bytes = max_bytes
        self._deflate = deflate
        self._buffer = bytearray()
        self._message = bytearray()
        self._opcode: Opcode | None = None  # of the message that is coming in fragments
        self._compressed = False
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now. Raises `Violation`, after which nothing more may be fed."""
        buffer, at = self._buffer, 0
        buffer += data
        try:
            while (found := self._next(buffer, at)) is not None:
                first, payload, at = found
                message = self._control(first, payload) if first & 0x08 else self._fragment(first, payload)
                if message is not None:
                    yield message
        finally:
            del buffer[:at]

    def _next(self, buffer: bytearray, at: int) -> tuple[int, bytes, int] | None:
        """The first byte and the unmasked payload of a frame, and where the next begins; None if it is not whole."""
        if len(buffer) < at + 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        self._check(first, second)
        size, at = second & 0x7F, at + 2
        if size > MAX_CONTROL_BYTES:
            extended = 2 if size == 126 else 8
            if len(buffer) < at + extended:
                return None
            size, at = int.from_bytes(buffer[at : at + extended], "big"), at + extended
            if len(self._message) + size > self._max_bytes:
                raise Violation(CloseCode.TOO_BIG, f"a message has at most {self._max_bytes} bytes")
        end = at + MASK_BYTES + size
        if len(buffer) < end:
            return None
        return first, _unmask(buffer[at : at + MASK_BYTES], buffer[at + MASK_BYTES : end]), end

    def _check(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x30 or (first & RSV1 and (self._deflate is None or opcode not in _DATA)):
            raise _wrong("a reserved bit is set")
        if not second & 0x80:
            raise _wrong("a client's frames are masked")
        if opcode in _CONTROL:
            if not first & FIN or second & 0x7F > MAX_CONTROL_BYTES:
                raise _wrong("a control frame is whole and has at most 125 bytes")
        elif opcode in _DATA:
            if self._opcode is not None:
                raise _wrong("a message begins within another")
        elif opcode != Opcode.CONTINUATION:
            raise _wrong(f"opcode {opcode} is not known")
        elif self._opcode is None:
            raise _wrong("nothing to continue")

    def _fragment(self, first: int, payload: bytes) -> Message | None:
        if self._opcode is None:
            self._opcode = Opcode(first & 0x0F)
            self._compressed = bool(first & RSV1)
            self._decoder = _utf8() if self._opcode is Opcode.TEXT and not self._compressed else None
        last = bool(first & FIN)
        self._decode(payload, last)
        if len(self._message) + len(payload) > self._max_bytes:
            raise Violation(CloseCode.TOO_BIG, f"a message has at most {self._max_bytes} bytes")
        if not last:
            self._message += payload
            return None
        message = bytes(self._message) + payload if self._message else payload
        opcode, self._opcode = self._opcode, None
        self._message.clear()
        if self._compressed:
            message = self._inflate(message)
            if opcode is Opcode.TEXT:
                self._decoder = _utf8()
                self._decode(message, True)
        return opcode, message

    def _decode(self, payload: bytes, last: bool) -> None:
        """Refuse text that is not UTF-8 as soon as that is plain (section 8.1)."""
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, last)
            except UnicodeDecodeError:
                raise Violation(CloseCode.INVALID_DATA, "text is UTF-8") from None

    def _inflate(self, payload: bytes) -> bytes:
        assert self._deflate is not None
        try:
            return self._deflate.inflate(payload, self._max_bytes)
        except TooBig:
            raise Violation(CloseCode.TOO_BIG, f"a message has at most {self._max_bytes} bytes, inflated") from None
        except zlib.error:
            raise Violation(CloseCode.INVALID_DATA, "not deflated as RFC 7692 says") from None

    def _control(self, first: int, payload: bytes) -> Message:
        opcode = Opcode(first & 0x0F)
        if opcode is Opcode.CLOSE and payload:
            code = int.from_bytes(payload[:2], "big")
            # Section 7.4: those that are never sent, those that mean nothing yet, and the two ranges for others.
            known = code in range(1000, 1015) and code not in (1004, 1005, 1006)
            if len(payload) < 2 or not (known or code in range(3000, 5000)):
                raise _wrong("no such close code")
            try:
                payload[2:].decode()
            except UnicodeDecodeError:
                raise Violation(CloseCode.INVALID_DATA, "a reason is UTF-8") from None
        return opcode, payload


def _wrong(reason: str) -> Violation:
    return Violation(CloseCode.PROTOCOL_ERROR, reason)


def _unmask(mask: bytearray, payload: bytearray) -> bytes:
    size = len(payload)
    # As one number: the only fast way in plain Python.
    key = (bytes(mask) * (size // MASK_BYTES + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")
