"""A file as a source: what every kind of file has in common, and which kinds there are."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote

from headrace.producers.replay.avro_file import avro_records
from headrace.producers.replay.csv_file import csv_records
from headrace.producers.replay.encoders import Encode, native
from headrace.producers.replay.event_time import ToMs, time_reader
from headrace.producers.replay.ndjson_file import ndjson_records
from headrace.producers.replay.row import Row, SourceError, Unfit
from headrace.schemas.avro_leaf import Unconvertible
from headrace.schemas.catalogue import Entry
from headrace.schemas.codec import Codec

Records = Callable[[BinaryIO, Codec, int], Iterator[Row | Unfit]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file. `records` gives the records above a number, in order, with their places but no id or time."""

    records: Records
    encoder: Callable[[Codec], Encode] = lambda codec: codec.encode


KINDS = {
    ".csv": Kind(csv_records),
    ".ndjson": Kind(ndjson_records),
    ".jsonl": Kind(ndjson_records),
    ".avro": Kind(avro_records, native),
}


class DataFile:
    """The records of a file for one feed. Raises `SourceError` where it is missing, of no known kind, or corrupt.

    `id_field` and `time_field` name fields of the data. Without the first an id is the file's name, the beginning of
    its SHA-256 and the record's number, so that the same file always gives the same ids.
    """

    def __init__(self, path: Path, entry: Entry, *, id_field: str | None = None, time_field: str | None = None) -> None:
        suffixes = [suffix.lower() for suffix in path.suffixes]
        self._gzip = suffixes[-1:] == [".gz"]
        suffix = (suffixes[:-1] if self._gzip else suffixes)[-1:]
        kind = KINDS.get(suffix[0]) if suffix else None
        if kind is None:
            raise SourceError(f"{path}: not a known kind of file; its name must end in {', '.join(KINDS)}, and .gz")
        self.name = str(path)
        self._path = path
        self._kind = kind
        self._codec = entry.codec
        self._id_field = id_field
        self._time_field = time_field
        self._to_ms: ToMs | None = None
        if time_field is not None:
            try:
                self._to_ms = time_reader(entry.codec, time_field)
            except ValueError as error:
                raise SourceError(f"--time-field {time_field}: {error}") from None
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
            self._size_bytes = path.stat().st_size
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from None
        self._id_prefix = f"{path.name}-{digest}-"
        self.uri = f"/sources/{quote(path.name)}?sha256={digest}"
        self._read_bytes = 0

    def rows(self, after: int) -> Iterator[Row | Unfit]:
        """The records above `after`, with their ids and times."""
        try:
            with self._path.open("rb") as raw:
                stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if self._gzip else raw
                for record in self._kind.records(stream, self._codec, after):
                    self._read_bytes = raw.tell()
                    yield self._identified(record) if isinstance(record, Row) else record
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{self.name}: {error}") from error
        except SourceError as error:
            raise SourceError(f"{self.name}, {error}") from error

    def encoder(self, codec: Codec) -> Encode:
        """As the kind of file has it."""
        return self._kind.encoder(codec)

    def fraction(self) -> float:
        """Bytes read from the disk, of all."""
        return self._read_bytes / max(self._size_bytes, 1)

    def _identified(self, record: Row) -> Row | Unfit:
        event_id, time_ms = f"{self._id_prefix}{record.number}", None
        if self._id_field is not None:
            found = _field(record.data, self._id_field)
            if found is None or found == "":
                return Unfit(record.number, f"/{self._id_field} has no value, and it is the event's id", record.line)
            event_id = str(found)
        if self._to_ms is not None and self._time_field is not None:
            try:
                time_ms = self._to_ms(_field(record.data, self._time_field))
            except Unconvertible as error:
                return Unfit(record.number, f"/{self._time_field} {error}, and it is the event's time", record.line)
        return Row(record.number, event_id, time_ms, record.data, record.line)


def _field(data: Any, name: str) -> Any:
    return data.get(name) if isinstance(data, dict) else None
