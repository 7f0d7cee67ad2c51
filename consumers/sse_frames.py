"""Events as server-sent events: an event `data` for each batch, and an event `control` after it.

The `id:` of a `data` event, or of a `control` event without one before it, is the offset token after it.
"""

from __future__ import annotations

import orjson

from headrace.consumers.compression import stream_chunk
from headrace.consumers.core.feed_log import Batch, FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.core.record import Record
from headrace.consumers.stream_cursor import next_cursor


class SseFrames:
    """Events of one feed, as CloudEvents, in a content coding where there is one.

    `least_cursor` is above what a client already had, where that is ahead.
    """

    field = b"data: "

    def __init__(self, feed_log: FeedLog, coding: str | None, least_cursor: int = 0) -> None:
        self._log = feed_log
        self._coding = coding
        self._least_cursor = least_cursor
        self.heartbeat = stream_chunk(b":\n\n", coding)

    def chunk(self, batch: Batch, up_to_date: bool) -> bytes:
        """A batch and the control event after it; only the control event where the batch is empty.

        That one ends the stream where it is closed there.
        """
        token = self._log.token(batch.position)
        control: dict[str, object] = {"streamNextOffset": token}
        if not batch.records and self._log.is_closed_at(batch.position):
            control |= {"upToDate": True, "streamClosed": True}
        else:
            control["streamCursor"] = str(max(next_cursor(None), self._least_cursor))
            if up_to_date:
                control["upToDate"] = True
        # The id also without data: who began at `now` and came again before the first event would miss what came
        # between.
        data = b"event: data\n" + self.data(batch.records) + b"\n" if batch.records else b""
        end = b"event: control\n" + self.field + orjson.dumps(control) + b"\n\n"
        return stream_chunk(b"id: " + token.encode() + b"\n" + data + end, self._coding)

    def data(self, records: list[Record]) -> bytes:
        """The lines that hold records."""
        return self.field + b"[" + b",".join(self._log.jsons(records)) + b"]\n"

    def farewell(self, position: Position) -> bytes:
        """The event `disconnect`: from where to go on."""
        token = self._log.token(position)
        said = orjson.dumps({"reason": "slow", "streamNextOffset": token})
        event = b"id: " + token.encode() + b"\nevent: disconnect\n" + self.field + said + b"\n\n"
        return stream_chunk(event, self._coding)
