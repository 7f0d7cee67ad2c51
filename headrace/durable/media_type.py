"""The media type of a stream: what decides how its messages are bounded."""

from __future__ import annotations

import re

JSON = "application/json"
DEFAULT = "application/octet-stream"

MOST_CHARACTERS = 200
_PART = r"[\w!#$&^.+-]+"
_MEDIA_TYPE = re.compile(rf"{_PART}/{_PART}(\s*;\s*{_PART}=({_PART}|\"[^\"\x00-\x1f]*\"))*", re.ASCII)


def is_media_type(text: str) -> bool:
    """Whether a text is a media type (RFC 9110 section 8.3.1)."""
    return len(text) <= MOST_CHARACTERS and _MEDIA_TYPE.fullmatch(text) is not None


def essence(text: str) -> str:
    """A media type without its parameters, in lower case: what two have in common that are the same."""
    return text.partition(";")[0].strip().lower()


def is_json(text: str) -> bool:
    """Whether messages are JSON values, each by itself (JSON mode)."""
    return essence(text) == JSON


def is_text(text: str) -> bool:
    """Whether server-sent events can hold it as it is."""
    return essence(text).startswith("text/") or is_json(text)
