"""The events of one feed and nothing else: a text message for each, as CloudEvents' WebSocket binding has it.

Each event has the extension attribute `nextoffset`, the offset token after it, so that a client resumes at any event.
"""

from __future__ import annotations

from collections.abc import Callable

from headrace.consumers.core.feed_log import Batch, FeedLog
from headrace.consumers.websocket.deflate import Deflate
from headrace.consumers.websocket.frames import Opcode
from headrace.consumers.websocket.socket import encode

SUBPROTOCOL = "cloudevents.json"
"""CloudEvents 1.0, WebSocket protocol binding, section 3; the same is sent where no subprotocol is asked for."""


def framing(deflate: Deflate | None) -> Callable[[FeedLog, Batch, bool], bytes]:
    """What makes the frames of a batch, for all clients that agreed on the same compression."""

    def frames(feed_log: FeedLog, batch: Batch, up_to_date: bool) -> bytes:
        made: list[bytes] = []
        after = list(batch.position)
        # From the last to the first: the position before a record is the one after the record before it.
        for record in reversed(batch.records):
            token = feed_log.token(tuple(after)).encode()
            event = feed_log.json(record)[:-1] + b',"nextoffset":"' + token + b'"}'
            made.append(encode(Opcode.TEXT, event, deflate))
            after[record.partition] = record.offset
        return b"".join(reversed(made))

    return frames
