"""What is posted: one event or several, as CloudEvents in structured or binary mode, or their data alone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from headrace.consumers.core.record import Record
from headrace.consumers.filter.projection import Projection
from headrace.consumers.relay.options import ContentMode
from headrace.signing import header_id

STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCH = "application/cloudevents-batch+json; charset=utf-8"
_PRINTABLE = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')


class Message(NamedTuple):
    """One request's content. `id` is the same whenever the same events are sent."""

    id: str
    body: bytes
    headers: dict[str, str]


Compose = Callable[[Sequence[Record]], Message]


class Composer:
    """Makes messages of records. `json` gives a record as structured CloudEvents JSON."""

    def __init__(
        self, json: Callable[[Record], bytes], mode: ContentMode, projection: Projection | None, *, batched: bool
    ) -> None:
        self._json = json
        self._mode = mode
        self._projection = projection
        self.compose: Compose = self._several if batched else self._one

    def _one(self, records: Sequence[Record]) -> Message:
        (record,) = records
        structured = self._structured(record)
        message_id = header_id(record.id)
        if self._mode == "structured":
            return Message(message_id, structured, {"content-type": STRUCTURED})
        event = orjson.loads(structured)
        body, content_type = _data(event)
        headers = {"content-type": content_type}
        if self._mode == "binary":
            headers |= {f"ce-{name}": _header(value) for name, value in event.items() if name not in _NO_HEADER}
        return Message(message_id, body, headers)

    def _several(self, records: Sequence[Record]) -> Message:
        ids = "\n".join(record.id for record in records)
        message_id = f"batch_{hashlib.sha256(ids.encode()).hexdigest()[:32]}"
        events = [self._structured(record) for record in records]
        if self._mode == "structured":
            return Message(message_id, b"[" + b",".join(events) + b"]", {"content-type": BATCH})
        data = [event.get("data", event.get("data_base64")) for event in map(orjson.loads, events)]
        return Message(message_id, orjson.dumps(data), {"content-type": "application/json"})

    def _structured(self, record: Record) -> bytes:
        body = self._json(record)
        if self._projection is None:
            return body
        event = orjson.loads(body)
        if "data" in event:
            event["data"] = self._projection.apply(event)
        return orjson.dumps(event)


_NO_HEADER = {"data", "data_base64", "datacontenttype"}


def _data(event: dict[str, Any]) -> tuple[bytes, str]:
    content_type = str(event.get("datacontenttype", "application/json"))
    if "data_base64" in event:
        return base64.b64decode(event["data_base64"]), content_type
    return orjson.dumps(event.get("data")), content_type


def _header(value: Any) -> str:
    """CloudEvents HTTP binding, section 3.1.3.2: what is not printable ASCII is percent-encoded."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return quote(text, safe=_PRINTABLE)
