"""A projection: which fields of an event's data somebody wants, and under which names. No code, only names.

{"tail": "data.tailnum", "wind": "data.weather.wind_speed"}    renames: {"tail": ..., "wind": ...}
["data.tailnum", "data.weather.wind_speed"]                    picks: {"tailnum": ..., "weather": {...}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.consumers.filter.fields import MISSING, Path, find, path_at
from headrace.consumers.filter.tokens import InvalidFilter, tokenize

MAX_FIELDS = 100
MAX_CHARACTERS = 500


class InvalidProjection(ValueError):
    """A projection that cannot be used. `pointer` is the JSON Pointer (RFC 6901) of what is wrong in it."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer or '/'} {detail}")
        self.pointer = pointer
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Projection:
    """Pairs of where a value goes in the new data and where it is in the event."""

    fields: tuple[tuple[Path, Path], ...]

    @classmethod
    def parse(cls, value: Any) -> Projection:
        """A projection from JSON: new names with paths, or a list of paths; raises `InvalidProjection`."""
        if not isinstance(value, dict | list):
            raise InvalidProjection("", "expected an object of names and paths, or a list of paths")
        if not 1 <= len(value) <= MAX_FIELDS:
            raise InvalidProjection("", f"expected 1 to {MAX_FIELDS} fields, got {len(value)}")
        return cls(tuple(_renamed(value) if isinstance(value, dict) else _picked(value)))

    def apply(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The new data of an event in structured JSON form; what is missing in it is left out."""
        data: dict[str, Any] = {}
        for target, source in self.fields:
            found = find(event, source)
            if found is MISSING:
                continue
            within = data
            for part in target[:-1]:
                within = within.setdefault(part, {})
            within[target[-1]] = found
        return data


def _renamed(fields: dict[str, Any]) -> Iterator[tuple[Path, Path]]:
    for name, text in fields.items():
        pointer = f"/{name.replace('~', '~0').replace('/', '~1')}"
        if not 1 <= len(name) <= MAX_CHARACTERS:
            raise InvalidProjection(pointer, f"a name has 1 to {MAX_CHARACTERS} characters")
        yield (name,), _path(text, pointer)


def _picked(texts: list[Any]) -> Iterator[tuple[Path, Path]]:
    seen: list[Path] = []
    for i, text in enumerate(texts):
        path = _path(text, f"/{i}")
        for other in seen:
            shorter = min(len(path), len(other))
            if path[:shorter] == other[:shorter]:
                raise InvalidProjection(f"/{i}", f"is the same as, or a part of, {'.'.join(other)}")
        seen.append(path)
        yield path[1:], path


def _path(text: Any, pointer: str) -> Path:
    if not isinstance(text, str):
        raise InvalidProjection(pointer, "expected a path as text, such as data.tailnum")
    if len(text) > MAX_CHARACTERS:
        raise InvalidProjection(pointer, f"a path has at most {MAX_CHARACTERS} characters")
    try:
        tokens = tokenize(text)
    except InvalidFilter as error:
        raise InvalidProjection(pointer, str(error)) from error
    if not tokens or tokens[0] != ("name", "data", 0) or path_at(tokens, 0)[1] != len(tokens) or len(tokens) == 1:
        raise InvalidProjection(pointer, "expected a field of the data, such as data.tailnum or data['tail number']")
    return path_at(tokens, 0)[0]
