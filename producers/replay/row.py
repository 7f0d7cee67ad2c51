"""What is replayed: numbered rows, and the sources that give them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from headrace.producers.replay.encoders import Encode
from headrace.schemas.codec import Codec


class Row(NamedTuple):
    """An event to be. `number` counts from 1 in the source's order; `line` is where it lies in a text file.

    `time_ms` is the event's own time, milliseconds since 1970 in UTC, or None where it has none.
    """

    number: int
    id: str
    time_ms: int | None
    data: Any
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Unfit:
    """A row that cannot be an event of the feed, and why."""

    number: int
    reason: str
    line: int | None = None

    @property
    def place(self) -> str:
        """Where it is in its source."""
        return f"record {self.number}" if self.line is None else f"line {self.line}"


class SourceError(Exception):
    """A source cannot be read, or not any further; the message names it, the place and the reason."""


class Source(Protocol):
    """Rows in an order that is the same at every reading: a replay that was broken off finds its place by number."""

    name: str
    """As people know it: a file's name."""
    uri: str
    """CloudEvents `source`. Another content has another one."""

    def rows(self, after: int) -> Iterator[Row | Unfit]:
        """The rows with numbers above `after`, none left out. Blocks while it reads; raises `SourceError`."""

    def encoder(self, codec: Codec) -> Encode:
        """How its data is encoded for a feed; the function raises `InvalidData`."""

    def fraction(self) -> float:
        """How much of it was read, 0 to 1."""
