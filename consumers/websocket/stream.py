"""The events of one feed and nothing else: a text message for each, as CloudEvents' WebSocket binding has it.

Each event has the extension attribute `nextoffset`, the offset token after it, so that a client resumes at any event.
"""

from __future__ import annotations

from headrace.consumers.core.feed_log import Batch, FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.websocket.deflate import Deflate
from headrace.consumers.websocket.frames import PING, Opcode
from headrace.consumers.websocket.socket import encode

SUBPROTOCOL = "cloudevents.json"
"""CloudEvents 1.0, WebSocket protocol binding, section 3; the same is sent where no subprotocol is asked for."""


class StreamFrames:
    """Events of one feed as text messages, for all clients that agreed on the same compression."""

    heartbeat = PING

    def __init__(self, feed_log: FeedLog, deflate: Deflate | None) -> None:
        self._log = feed_log
        self._deflate = deflate

    def chunk(self, batch: Batch, up_to_date: bool) -> bytes:
        """A message for each event; nothing where the batch is empty."""
        made: list[bytes] = []
        after = list(batch.position)
        # From the last to the first: the position before a record is the one after the record before it.
        for record in reversed(batch.records):
            token = self._log.token(tuple(after)).encode()
            event = self._log.json(record)[:-1] + b',"nextoffset":"' + token + b'"}'
            made.append(encode(Opcode.TEXT, event, self._deflate))
            after[record.partition] = record.offset
        return b"".join(reversed(made))

    def farewell(self, position: Position) -> bytes:
        """Nothing: the close frame holds the position."""
        return b""
