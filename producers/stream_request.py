"""What a request says of a stream: the headers of Durable Streams 1.0, checked."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import web

from headrace.durable.append import ProducerSeq
from headrace.durable.media_type import DEFAULT, essence, is_media_type
from headrace.durable.stream import Stream
from headrace.durable.table import now_ms
from headrace.http.problems import Problem

EVENT_STREAM = "text/event-stream"
MOST_SEQ = 2**53 - 1
MOST_TTL_S = 10 * 366 * 86_400
MOST_PARTITIONS = 100
MOST_CHARACTERS = 256

_NAME = re.compile(r"[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,199}")
_RESERVED = re.compile(r"headrace\..*|.*\.dead")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def wanted_stream(request: web.Request, name: str) -> Stream:
    """The stream that a PUT asks for, without a topic. Raises `Problem` 400."""
    if _NAME.fullmatch(name) is None or _RESERVED.fullmatch(name):
        raise _bad(
            f"{name[:100]!r} cannot name a stream: use 1 to 200 letters, digits, '.', '_' and '-', not with a dot in "
            "front, not beginning with 'headrace.' and not ending in '.dead'"
        )
    ttl_s, expires = _ttl_s(request), request.headers.get("Stream-Expires-At")
    if ttl_s is not None and expires is not None:
        raise _bad("give Stream-TTL or Stream-Expires-At, not both")
    kind, moment_ms = media_type(request) or DEFAULT, now_ms()
    if essence(kind) == EVENT_STREAM:
        raise _bad(f"{EVENT_STREAM} is how streams are followed, not what they hold; take another media type")
    return Stream(
        name=name,
        id=secrets.token_hex(4),
        topic="",
        topic_id="",
        media_type=kind,
        created_ms=moment_ms,
        touched_ms=moment_ms,
        end=(0,) * _partitions(request),
        ttl_s=ttl_s,
        expires_ms=None if expires is None else _expires_ms(expires),
        expires=expires,
        closed=closes(request),
    )


def media_type(request: web.Request) -> str | None:
    """The media type of the body, None where the request has none; raises `Problem` 400 for what is no media type."""
    text = request.headers.get("Content-Type", "").strip()
    if text and not is_media_type(text):
        raise _bad("Content-Type is no media type")
    return text or None


def closes(request: web.Request) -> bool:
    """Whether nothing is to come after this request."""
    return request.headers.get("Stream-Closed", "").strip().lower() == "true"


def stream_seq(request: web.Request) -> str | None:
    """`Stream-Seq`; raises `Problem` 400."""
    text = request.headers.get("Stream-Seq")
    return None if text is None else _text("Stream-Seq", text)


def producer_seq(request: web.Request) -> ProducerSeq | None:
    """What an idempotent producer says; raises `Problem` 400 where it says it in part only, or not as it should."""
    names = ("Producer-Id", "Producer-Epoch", "Producer-Seq")
    given = [request.headers.get(name) for name in names]
    if given == [None, None, None]:
        return None
    producer_id, epoch, seq = given
    if producer_id is None or epoch is None or seq is None:
        raise _bad("Producer-Id, Producer-Epoch and Producer-Seq are given together, or none of them")
    return ProducerSeq(_text(names[0], producer_id), _number(names[1], epoch), _number(names[2], seq))


def _text(name: str, text: str) -> str:
    if not text or len(text) > MOST_CHARACTERS or not (text.isascii() and text.isprintable()):
        raise _bad(f"{name} is 1 to {MOST_CHARACTERS} printable characters of ASCII")
    return text


def _number(name: str, text: str, most: int = MOST_SEQ) -> int:
    if _NUMBER.fullmatch(text) is None or int(text) > most:
        raise _bad(f"{name} is a whole number from 0 to {most}, without leading zeros")
    return int(text)


def _ttl_s(request: web.Request) -> int | None:
    text = request.headers.get("Stream-TTL")
    return None if text is None else _number("Stream-TTL", text, MOST_TTL_S)


def _expires_ms(text: str) -> int:
    try:
        if _TIME.fullmatch(text) is None:
            raise ValueError
        return int(datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise _bad("Stream-Expires-At is an RFC 3339 time such as 2030-01-01T00:00:00Z") from None


def _partitions(request: web.Request) -> int:
    text = request.query.get("partitions", "1")
    if _NUMBER.fullmatch(text) is None or not 1 <= int(text) <= MOST_PARTITIONS:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"partitions is a number from 1 to {MOST_PARTITIONS}; with one, messages have one order.",
            parameter="partitions",
        )
    return int(text)


def _bad(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"{detail}.")
