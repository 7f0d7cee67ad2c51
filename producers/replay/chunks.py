"""The rows of a source, encoded, a chunk at a time: reading and encoding run in a thread, away from the event loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from headrace.producers.replay.encode import Encoder, Ready
from headrace.producers.replay.resume import Place
from headrace.producers.replay.row import Source, Unfit
from headrace.producers.replay.sender import BATCH
from headrace.schemas.catalogue import Entry


@dataclass(slots=True)
class Chunk:
    """Some rows that follow one another: those to be written, and those that cannot be."""

    ready: list[Ready] = field(default_factory=list)
    unfit: list[Unfit] = field(default_factory=list)


class Chunks:
    """What of a source is left to do from a place on. Unless `skip_invalid`, a chunk ends with its first unfit row."""

    def __init__(
        self,
        entry: Entry,
        source: Source,
        place: Place,
        *,
        partitions: int,
        limit: int | None,
        max_event_bytes: int,
        skip_invalid: bool,
    ) -> None:
        rows = source.rows(place.after)
        self._rows = rows if limit is None else islice(rows, max(0, limit - place.after))
        self._written = place.written
        self._skip_invalid = skip_invalid
        self._encoder = Encoder(entry, source, partitions, run=place.run, max_event_bytes=max_event_bytes)
        self.last = place.after
        """The highest row read."""
        self.ended = False
        """Whether that is the last one."""

    def next(self) -> Chunk | None:
        """The chunk after the last one, of at most `BATCH` rows; None at the end. Blocks; raises `SourceError`."""
        chunk, before = Chunk(), self.last
        for row in islice(self._rows, BATCH):
            self.last = row.number
            if row.number in self._written:
                continue
            ready = row if isinstance(row, Unfit) else self._encoder.encode(row)
            if isinstance(ready, Ready):
                # The first row that is missing from the log: from here on all are written, in their order.
                self._written = frozenset()
                chunk.ready.append(ready)
                continue
            chunk.unfit.append(ready)
            if not self._skip_invalid:
                break
        self.ended = self.last == before
        return None if self.ended else chunk
