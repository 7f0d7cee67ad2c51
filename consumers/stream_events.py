"""Messages of durable streams as server-sent events (Durable Streams 1.0, section 5.8)."""

from __future__ import annotations

import base64
import re

import orjson

from headrace.consumers.compression import stream_chunk
from headrace.consumers.core.feed_log import Batch, FeedLog
from headrace.consumers.core.position import Position
from headrace.consumers.core.record import Record
from headrace.consumers.stream_cursor import next_cursor
from headrace.consumers.stream_frames import value
from headrace.durable.media_type import is_json, is_text

_LINE_BREAK = re.compile(rb"\r\n|\r|\n")


class StreamEvents:
    """Messages of one stream, in a content coding or none.

    What is neither text nor JSON is in base64. `least_cursor` is above what a client already had, where that is ahead.
    """

    def __init__(self, feed_log: FeedLog, coding: str | None, least_cursor: int) -> None:
        self._log = feed_log
        self._coding = coding
        self._least_cursor = least_cursor
        self._json = is_json(feed_log.entry.feed.media_type)
        self._text = is_text(feed_log.entry.feed.media_type)
        self.heartbeat = stream_chunk(b":\n\n", coding)

    def chunk(self, batch: Batch, up_to_date: bool) -> bytes:
        """A batch and the control event after it; only the control event where the batch is empty.

        The latter ends the stream where it is closed there.
        """
        token = self._log.token(batch.position)
        identity = b"id: " + token.encode() + b"\n"
        control: dict[str, object] = {"streamNextOffset": token}
        if not batch.records and self._log.is_closed_at(batch.position):
            control |= {"upToDate": True, "streamClosed": True}
        else:
            control["streamCursor"] = str(max(next_cursor(None), self._least_cursor))
            if up_to_date:
                control["upToDate"] = True
        end = b"event: control\ndata:" + orjson.dumps(control) + b"\n\n"
        if batch.records:
            end = b"event: data\n" + self._data(batch.records) + b"\n" + end
        return stream_chunk(identity + end, self._coding)

    def _data(self, records: list[Record]) -> bytes:
        if self._json:
            return b"data:[" + b",".join([value(record) for record in records]) + b"]\n"
        body = b"".join([value(record) for record in records])
        if not self._text:
            return b"data:" + base64.b64encode(body) + b"\n"
        # A receiver takes one space away in front of a line.
        return b"".join(
            b"data:" + (b" " if line.startswith(b" ") else b"") + line + b"\n" for line in _LINE_BREAK.split(body)
        )

    def farewell(self, position: Position) -> bytes:
        """The event `disconnect`: from where to go on."""
        token = self._log.token(position)
        said = orjson.dumps({"reason": "slow", "streamNextOffset": token})
        return stream_chunk(b"id: %s\nevent: disconnect\ndata:%s\n\n" % (token.encode(), said), self._coding)
