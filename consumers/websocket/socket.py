"""One WebSocket connection: a follower that also listens, and that ends with a close frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from headrace.consumers.core.position import Position
from headrace.consumers.follower import Ending, Follower
from headrace.consumers.websocket.deflate import MIN_BYTES, Deflate
from headrace.consumers.websocket.frames import EMPTY_CLOSE, CloseCode, Opcode, close_frame, frame
from headrace.consumers.websocket.parser import Parser, Violation

CLOSE_WAIT_S = 2.0
"""How long a client may take for its part of the closing handshake."""
SLOW_CLOSE_WAIT_S = 30.0
HIGH_WATER_BYTES = 256 * 1024

FULL = 1
BUSY = 2

CODES = {
    Ending.RESUME: CloseCode.RESUME,
    Ending.CLOSED: CloseCode.NORMAL,
    Ending.GOING_AWAY: CloseCode.GOING_AWAY,
    Ending.GONE: CloseCode.GONE,
    Ending.KAFKA_AWAY: CloseCode.TRY_AGAIN_LATER,
    Ending.FAILED: CloseCode.INTERNAL_ERROR,
    Ending.UNAUTHORIZED: CloseCode.UNAUTHORIZED,
}


class Socket(Follower):
    """Gives whole messages to `on_message`, answers pings and closes, and refuses what RFC 6455 does not allow.

    While the client takes less than it is sent, nothing is read of it either: what it asks for would pile up here.
    `reason` tells the client's last position when the connection ends.
    """

    __slots__ = ("_closing", "_deadline", "_holds", "_parser", "deflate", "on_lost", "on_message", "reason")

    def __init__(self, position: Position, closes_at_s: float, max_bytes: int, deflate: Deflate | None) -> None:
        super().__init__(position, closes_at_s)
        self.deflate = deflate
        self.on_message: Callable[[Opcode, bytes], None] | None = None
        self.on_lost: Callable[[Socket], None] | None = None
        self.reason: Callable[[Position], str] | None = None
        self._parser: Parser | None = Parser(max_bytes, deflate)
        self._closing = False
        self._holds = 0
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        """False once it is being closed, by either side."""
        return super().open and not self._closing

    # Sending

    def write(self, chunk: bytes, position: Position) -> None:
        """Send frames, after which the client stands at `position`."""
        if self.open:
            super().write(chunk, position)

    def send(self, opcode: Opcode, message: bytes) -> None:
        """Send a message, compressed where that was agreed and is worth it."""
        self.write(encode(opcode, message, self.deflate), self.position)

    def end(self, why: Ending) -> None:
        """Close, with the code for it and the last position as its reason."""
        self.close(CODES[why], "" if self.reason is None else self.reason(self.position))

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; what was written before is sent."""
        self._begin_end(close_frame(code, reason))

    def _begin_end(self, last: bytes) -> None:
        if not self.open or self.transport is None:
            return
        self.transport.write(last)
        self._closing = True
        self.release(FULL | BUSY)  # the client's answer is to be heard
        # A slow client first has to take what was written before.
        wait_s = SLOW_CLOSE_WAIT_S if self.full else CLOSE_WAIT_S
        self._deadline = asyncio.get_running_loop().call_later(wait_s, self.abort)
        self._changed()

    # Receiving

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        if self._parser is None:
            return
        try:
            for opcode, payload in self._parser.feed(data):
                self._take(opcode, payload)
                if self.transport is None or self.transport.is_closing():
                    return
        except Violation as violation:
            self._fail(violation)

    def _take(self, opcode: Opcode, payload: bytes) -> None:
        if opcode is Opcode.CLOSE:
            self._answer_close(payload)
        elif self._closing:
            pass
        elif opcode is Opcode.PING:
            self.write(frame(Opcode.PONG, payload), self.position)
        elif opcode is not Opcode.PONG and self.on_message is not None:
            self.on_message(opcode, payload)

    def _answer_close(self, payload: bytes) -> None:
        # With the client's code (section 5.5.1), unless this answers our own.
        self._begin_end(frame(Opcode.CLOSE, payload[:2]) if payload else EMPTY_CLOSE)
        if self.transport is not None:
            self.transport.close()

    def _fail(self, violation: Violation) -> None:
        """Say why, send no more, and take no more of what comes: it means nothing now."""
        self._parser = None
        transport = self.transport
        if self._closing and transport is not None:
            transport.close()
            return
        self.close(violation.code, violation.reason)
        # Closing at once, with bytes of the client unread, would reset the connection before it reads the code.
        if transport is not None and transport.can_write_eof():
            transport.write_eof()

    def eof_received(self) -> None:
        """The client sends no more, so the connection is closed."""

    # Flow

    def hold(self, reason: int) -> None:
        """Read nothing of the client for a reason, `FULL` or `BUSY`, until it is released."""
        if not self._holds and self.open and self.transport is not None:
            self.transport.pause_reading()
        self._holds |= reason

    def release(self, reason: int) -> None:
        """Read on, where no other reason is left."""
        held, self._holds = self._holds, self._holds & ~reason
        if held and not self._holds and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _weigh(self) -> None:
        """Where it takes no more, it is not listened to either, until it has taken some, or owes nothing any more."""
        super()._weigh()
        if not self.full:
            self.release(FULL)
        elif not self._closing:
            self.hold(FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost(self)


def encode(opcode: Opcode, message: bytes, deflate: Deflate | None) -> bytes:
    """The frame of a message."""
    if deflate is None or len(message) < MIN_BYTES:
        return frame(opcode, message)
    return frame(opcode, deflate.compress(message), compressed=True)
