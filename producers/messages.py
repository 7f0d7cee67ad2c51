"""The messages in the body of an append: JSON values each by itself, or the bytes as they came."""

from __future__ import annotations

from http import HTTPStatus
from json import JSONDecoder

import orjson

from headrace.durable.media_type import is_json
from headrace.http.problems import Problem
from headrace.producers.incoming import MAX_EVENTS

_DECODER = JSONDecoder()
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
_BETWEEN = " \t\r\n,"


def messages_of(media_type: str, body: bytes, max_message_bytes: int) -> list[bytes]:
    """The messages; an array of JSON is taken apart, one level deep (Durable Streams 1.0, section 7.1).

    A JSON value keeps its text, but for line breaks around its parts, which mean nothing. None where the body, or the
    array, is empty. Raises `Problem`: 400 for what is not JSON, 413 for too large or too many messages.
    """
    if not body:
        return []
    return checked_messages(_json(body) if is_json(media_type) else [body], max_message_bytes)


def checked_messages(messages: list[bytes], max_message_bytes: int) -> list[bytes]:
    """The messages; raises `Problem` 413 where they are too large or too many."""
    largest = max(map(len, messages), default=0)
    if largest > max_message_bytes:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"A message is {largest} bytes; at most {max_message_bytes} are taken. Append it in parts.",
            max_message_bytes=max_message_bytes,
        )
    if len(messages) > MAX_EVENTS:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body holds {len(messages)} messages; at most {MAX_EVENTS} are taken at a time.",
            max_events=MAX_EVENTS,
        )
    return messages


def _json(body: bytes) -> list[bytes]:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"The body is not JSON: {error}.") from None
    text = body.strip(b" \t\r\n").translate(_ONE_LINE)
    if not text.startswith(b"["):
        return [text]
    try:
        return [element.encode() for element in _elements(text.decode())]
    except RecursionError:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is nested too deeply.") from None


def _elements(array: str) -> list[str]:
    """The elements of an array that is valid JSON, each as its text."""
    elements: list[str] = []
    at, end = 1, len(array) - 1
    while True:
        while at < end and array[at] in _BETWEEN:
            at += 1
        if at >= end:
            return elements
        start = at
        _, at = _DECODER.raw_decode(array, start)
        elements.append(array[start:at])
