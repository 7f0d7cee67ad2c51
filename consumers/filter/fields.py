"""Where values lie in an event: paths, as filters and projections write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from headrace.consumers.filter.tokens import Tokens, is_operator, literal

Path = tuple[str, ...]
"""`data.weather.temp` is ("data", "weather", "temp"); the first is an attribute of the event, or `extensions`."""

MISSING: Final = object()

BODY = frozenset({"data", "data_base64", "dataerror", "datacontenttype"})
"""Members of an event that are known only when its body is decoded."""

ATTRIBUTES = BODY | {
    "specversion", "id", "source", "type", "subject", "time", "dataschema", "partitionkey", "partition", "sequence",
}  # fmt: skip
EXTENSIONS = "extensions"
"""The name under which filters find all further attributes of an event."""


class Source(Protocol):
    """An event whose members may be read only when asked for; a dict is one."""

    def get(self, name: str, default: Any, /) -> Any:
        """An attribute, `data`, or `extensions`."""


def visible(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event in structured JSON form as filters see it: with its further attributes under `extensions`."""
    members = {name: value for name, value in event.items() if name in ATTRIBUTES}
    members[EXTENSIONS] = {name: value for name, value in event.items() if name not in ATTRIBUTES}
    return members


def find(source: Source, path: Path) -> Any:
    """The value at a path, or `MISSING`."""
    value = source.get(path[0], MISSING)
    for part in path[1:]:
        if type(value) is not dict:
            return MISSING
        value = value.get(part, MISSING)
    return value


def path_at(tokens: Tokens, start: int) -> tuple[Path, int]:
    """The longest path that begins with the name at `start`, and the index after it.

    `a.b`, `a['b']` and mixtures. What is called, as `startsWith` in `a.b.startsWith('x')`, is no part of it.
    """
    path, i = [tokens[start].text], start + 1
    while i + 1 < len(tokens):
        after = tokens[i + 2] if i + 2 < len(tokens) else None
        if is_operator(tokens[i], ".") and tokens[i + 1].kind == "name" and not (after and is_operator(after, "(")):
            path.append(tokens[i + 1].text)
            i += 2
        elif is_operator(tokens[i], "[") and tokens[i + 1].kind == "string" and after and is_operator(after, "]"):
            path.append(literal(tokens[i + 1 : i + 2]))
            i += 3
        else:
            break
    return tuple(path), i
