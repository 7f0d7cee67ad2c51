"""An event as filters see it: read when a filter asks, once, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from headrace.consumers.core.record import Record
from headrace.consumers.filter.expression import Filter
from headrace.consumers.filter.fields import BODY, visible
from headrace.consumers.filter.view import Reads, View
from headrace.schemas.codec import Codec
from headrace.schemas.event import KafkaHeaders, to_structured_json


class Event:
    """One event, with what filters said of it. Filters that ask for no member of the body do not decode it."""

    __slots__ = ("_attributes", "_body", "_read_attributes", "_read_body", "_results", "_view", "type")

    def __init__(self, type: str, attributes: Callable[[], bytes], body: Callable[[], bytes]) -> None:
        """`attributes` and `body` give structured JSON: one need not have the data, the other has all."""
        self.type = type
        self._read_attributes = attributes
        self._read_body = body
        self._attributes: dict[str, Any] | None = None
        self._body: dict[str, Any] | None = None
        self._view: View | None = None
        # By text: a filter is its text, whose hash is remembered.
        self._results: dict[str, bool] = {}

    @classmethod
    def of(cls, record: Record, codec: Codec, defaults: Mapping[str, str]) -> Event:
        """A record of the log as an event; the arguments are those of `Record.json`."""
        return cls(
            _type(record.headers, defaults["type"]),
            lambda: _attributes(record, codec, defaults),
            lambda: record.json(codec, defaults),
        )

    def get(self, name: str, default: Any, /) -> Any:
        """An attribute, `data`, or `extensions`."""
        if name in BODY:
            if self._body is None:
                self._body = _members(self._read_body())
            return self._body.get(name, default)
        if self._attributes is None:
            self._attributes = self._body or _members(self._read_attributes())
        return self._attributes.get(name, default)

    def show(self, reads: Reads) -> None:
        """Tell CEL at once what several filters are going to read."""
        self._view = View(self, reads)

    def matches(self, filter: Filter) -> bool:
        """What the filter says, which is asked once."""
        result = self._results.get(filter.text)
        if result is None:
            shown = self._view is not None and filter.reads.paths <= self._view.paths
            result = self._results[filter.text] = filter.decide(self, self._view if shown else None)
        return result


def _type(headers: KafkaHeaders, default: str) -> str:
    """The event's type as its JSON form has it: of several the last."""
    found: str | bytes = default
    for name, value in headers:
        if name == "ce_type" and value:
            found = value
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


def _attributes(record: Record, codec: Codec, defaults: Mapping[str, str]) -> bytes:
    return to_structured_json(
        codec,
        defaults,
        topic=record.message.topic() or "",
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        key=record.key,
        value=None,
        headers=record.headers,
    )


def _members(json: bytes) -> dict[str, Any]:
    try:
        return visible(orjson.loads(json))
    except orjson.JSONDecodeError:
        # Data nested as deep as JSON is read at all is, within the event, one level too deep: as good as missing.
        return {}
