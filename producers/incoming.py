"""What a request wants to write: its events, from any of the forms that they may come in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import orjson

from headrace.http.problems import Problem
from headrace.schemas.catalogue import Entry
from headrace.schemas.codec import BytesCodec
from headrace.schemas.event import Event, new_ids, now
from headrace.schemas.explain import Fault, escape

JSON = "application/json"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_REQUIRED = ("specversion", "id", "source", "type")
_KNOWN = {*_REQUIRED, "time", "subject", "datacontenttype", "dataschema", "data", "data_base64"}
# Reading adds these; an event that was read can be written again as it is.
_OF_READING = {"partition", "sequence", "partitionkey", "dataerror", "nextoffset"}
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")
_MAX_ATTRIBUTE = 1024
# CloudEvents 1.0, type String: no control characters, no surrogates. They would end up in headers and logs.
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
MAX_EVENTS = 10_000
"""Events in one request: each costs a hundred times the memory of its shortest form, `1,`."""


@dataclass(slots=True)
class Incoming:
    """An event to be written: `value` where it came as bytes, else `data` for the feed's codec.

    `at` is the JSON Pointer to the data in what was sent. `partition_key` is CloudEvents' attribute: the record's key
    where the feed's definition does not name one.
    """

    event: Event
    data: Any = None
    value: bytes | None = None
    at: str = ""
    partition_key: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that cannot be written, and why."""

    status: HTTPStatus
    faults: list[Fault]
    id: str | None = None

    @property
    def detail(self) -> str:
        """The faults in one line."""
        return "; ".join(f"{fault.pointer or '/'} {fault.detail}" for fault in self.faults)


Parsed = list[Incoming | Rejected]


def parse(headers: Mapping[str, str], content_type: str, body: bytes, entry: Entry) -> Parsed:
    """The events of a body, in its order; a bad one among several is told apart.

    Raises `Problem`: 400 where nothing can be made of the body, 413 for more than `MAX_EVENTS`, 415 for a form that is
    not taken.
    """
    media_type = content_type.split(";")[0].strip().lower() or JSON
    charset = re.search(r"charset=\"?([\w-]+)", content_type, re.IGNORECASE)
    if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"charset {charset[1]} is not taken; send UTF-8.")
    key = idempotency_key(headers)
    if media_type == STRUCTURED:
        return [_cloud_event(_json(body), entry)]
    if media_type == BATCH:
        items = _json(body)
        if not isinstance(items, list):
            raise Problem(HTTPStatus.BAD_REQUEST, "A CloudEvents batch is a JSON array.")
        return cloud_events(items, entry)
    if any(name.lower().startswith("ce-") for name in headers):
        return [_binary(headers, media_type, body, entry)]
    plain = _plain(entry, key)
    if isinstance(entry.codec, BytesCodec):
        if media_type not in (entry.feed.media_type, "application/octet-stream"):
            raise _unsupported(media_type, f"{entry.feed.media_type}, {STRUCTURED} and {BATCH}")
        return [Incoming(plain(0, False), value=body)]
    if media_type == JSON:
        value = _json(body)
        items = _some(value if isinstance(value, list) else [value])
        many = len(items) > 1
        return [Incoming(plain(index, many), item) for index, item in enumerate(items)]
    if media_type in NDJSON:
        return _lines(body, plain)
    raise _unsupported(media_type, f"{JSON}, {NDJSON[0]}, {STRUCTURED} and {BATCH}")


def cloud_events(items: list[Any], entry: Entry) -> Parsed:
    """The events of a batch in structured JSON. Raises `Problem`: 400 for none, 413 for more than `MAX_EVENTS`."""
    return [_cloud_event(item, entry) for item in _some(items)]


def _some(items: list[Any]) -> list[Any]:
    if not items:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body holds no event.")
    if len(items) > MAX_EVENTS:
        raise _too_many(len(items))
    return items


def _too_many(events: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body holds {events} events; at most {MAX_EVENTS} are taken at a time.",
        max_events=MAX_EVENTS,
    )


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"The body is not JSON: {error}.") from None


def _lines(body: bytes, plain: Callable[[int, bool], Event]) -> Parsed:
    if (breaks := body.count(b"\n")) > MAX_EVENTS:
        raise _too_many(breaks)
    lines = _some([line for line in body.split(b"\n") if line.strip()])
    parsed: Parsed = []
    for index, line in enumerate(lines):
        try:
            parsed.append(Incoming(plain(index, len(lines) > 1), orjson.loads(line)))
        except orjson.JSONDecodeError as error:
            parsed.append(Rejected(HTTPStatus.BAD_REQUEST, [Fault("", f"not JSON: {error}")]))
    return parsed


# Ids


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """The client's key for this request; raises `Problem` 400 for one that cannot be an event id."""
    key = headers.get("Idempotency-Key")
    if key is None:
        return None
    key = key.strip().strip('"')
    if not key or len(key) > 255 or not key.isprintable():
        raise Problem(HTTPStatus.BAD_REQUEST, "Idempotency-Key is 1 to 255 printable characters.")
    return key


def _plain(entry: Entry, key: str | None) -> Callable[[int, bool], Event]:
    """What makes the attributes of plain events, by their index and whether there are many.

    A retry with the same key gives the same ids.
    """
    kind, source, moment = entry.feed.event_type, f"/feeds/{entry.feed.name}", now()
    if key is None:
        ids = new_ids()
        return lambda index, many: Event(next(ids), kind, source, moment)
    return lambda index, many: Event(f"{key}/{index}" if many else key, kind, source, moment)


# CloudEvents 1.0


def _cloud_event(item: Any, entry: Entry) -> Incoming | Rejected:
    if not isinstance(item, dict):
        return Rejected(HTTPStatus.BAD_REQUEST, [Fault("", "expected a CloudEvent, a JSON object")])
    attributes = {k: v for k, v in item.items() if k not in ("data", "data_base64") and v is not None}
    event = _event(attributes)
    if isinstance(event, Rejected):
        return event
    key = item.get("partitionkey")
    if isinstance(entry.codec, BytesCodec):
        return _base64(event, item.get("data_base64"), entry.codec, key)
    if "data_base64" in item:
        fault = Fault("/data_base64", f"the events of {entry.feed.name} are JSON: give them in data")
        return Rejected(HTTPStatus.BAD_REQUEST, [fault], event.id)
    return Incoming(event, item.get("data"), at="/data", partition_key=key)


def _base64(event: Event, text: Any, codec: BytesCodec, key: str | None) -> Incoming | Rejected:
    try:
        return Incoming(event, value=codec.encode(text), partition_key=key)
    except ValueError:
        return Rejected(HTTPStatus.BAD_REQUEST, [Fault("/data_base64", "is required: base64 text")], event.id)


def _binary(headers: Mapping[str, str], media_type: str, body: bytes, entry: Entry) -> Incoming | Rejected:
    """Attributes in `ce-` headers, percent-encoded (CloudEvents HTTP binding, section 3.1.3.2)."""
    attributes = {name[3:].lower(): unquote(value) for name, value in headers.items() if name.lower().startswith("ce-")}
    event = _event(attributes)
    if isinstance(event, Rejected):
        return event
    key = attributes.get("partitionkey")
    if isinstance(entry.codec, BytesCodec):
        return Incoming(event, value=body, partition_key=key)
    if media_type != JSON and not media_type.endswith("+json"):
        raise _unsupported(media_type, JSON)
    return Incoming(event, _json(body), partition_key=key)


def _event(attributes: Mapping[str, Any]) -> Event | Rejected:
    faults: list[Fault] = []
    for name in _REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value or len(value) > _MAX_ATTRIBUTE:
            faults.append(Fault(f"/{name}", f"is required: text of 1 to {_MAX_ATTRIBUTE} characters"))
    faults += [
        Fault(f"/{escape(name)}", "holds control characters")
        for name, value in attributes.items()
        if isinstance(value, str) and _NO_TEXT.search(value)
    ]
    if attributes.get("specversion", "1.0") != "1.0":
        faults.append(Fault("/specversion", "only 1.0 is known"))
    time = attributes.get("time")
    if time is not None and not _is_time(time):
        faults.append(Fault("/time", "is not an RFC 3339 time"))
    faults += [
        Fault(f"/{name}", "is not text")
        for name in ("subject", "partitionkey", "dataschema")
        if not isinstance(attributes.get(name, ""), str)
    ]
    extensions: dict[str, str] = {}
    for name, value in attributes.items():
        if name in _KNOWN or name in _OF_READING:
            continue
        if not _EXTENSION.fullmatch(name) or not isinstance(value, str | int | bool):
            faults.append(
                Fault(f"/{escape(name)}", "no such attribute: extensions are [a-z0-9] with text, a number or a boolean")
            )
        else:
            extensions[name] = str(value).lower() if isinstance(value, bool) else str(value)
    if "dataschema" in attributes:
        extensions["dataschema"] = attributes["dataschema"]
    event_id = attributes.get("id")
    if faults:
        return Rejected(HTTPStatus.BAD_REQUEST, faults, event_id if isinstance(event_id, str) else None)
    return Event(
        attributes["id"],
        attributes["type"],
        attributes["source"],
        time or now(),
        attributes.get("subject"),
        extensions or None,
    )


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or _RFC_3339.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value.upper())
    except ValueError:
        return False
    return True


def _unsupported(media_type: str, taken: str) -> Problem:
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{media_type} is not taken here; send {taken}.")
