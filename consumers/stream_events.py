"""Messages of durable streams as server-sent events (Durable Streams 1.0, section 5.8)."""

from __future__ import annotations

import base64
import re

from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.record import Record
from headrace.consumers.sse_frames import SseFrames
from headrace.consumers.stream_frames import value
from headrace.durable.media_type import is_json, is_text

_LINE_BREAK = re.compile(rb"\r\n|\r|\n")


class StreamEvents(SseFrames):
    """Messages of one stream: a JSON array, text line by line, or base64 of what is neither."""

    field = b"data:"

    def __init__(self, feed_log: FeedLog, coding: str | None, least_cursor: int) -> None:
        super().__init__(feed_log, coding, least_cursor)
        self._json = is_json(feed_log.entry.feed.media_type)
        self._text = is_text(feed_log.entry.feed.media_type)

    def data(self, records: list[Record]) -> bytes:
        """The lines that hold messages."""
        values = [value(record) for record in records]
        if self._json:
            return self.field + b"[" + b",".join(values) + b"]\n"
        body = b"".join(values)
        if not self._text:
            return self.field + base64.b64encode(body) + b"\n"
        # A receiver takes one space away in front of a line.
        return b"".join(
            self.field + (b" " if line.startswith(b" ") else b"") + line + b"\n" for line in _LINE_BREAK.split(body)
        )
