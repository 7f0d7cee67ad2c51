"""All feeds of a process: those that files define, and the streams that clients made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.durable.table import StreamTable
from headrace.schemas.catalogue import Catalogue, Entry


class Feeds(Mapping[str, Entry]):
    """Feeds by name. A file's feed goes before a stream of the same name, made when the file was not there."""

    def __init__(self, catalogue: Catalogue, streams: StreamTable) -> None:
        self._catalogue = catalogue
        self._streams = streams

    def __getitem__(self, name: str) -> Entry:
        found = self._catalogue.get(name)
        return found if found is not None else self._streams[name].entry()

    def __iter__(self) -> Iterator[str]:
        yield from self._catalogue
        yield from (name for name in self._streams if name not in self._catalogue)

    def __len__(self) -> int:
        return sum(1 for _ in self)
