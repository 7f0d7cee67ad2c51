"""CSV with a header line (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from headrace.producers.replay.csv_values import Read, cell_readers
from headrace.producers.replay.row import Row, SourceError, Unfit
from headrace.schemas.avro_leaf import Unconvertible
from headrace.schemas.codec import Codec


def csv_records(stream: BinaryIO, codec: Codec, after: int) -> Iterator[Row | Unfit]:
    """The records with numbers above `after`; a record's line is the one where it begins.

    Raises `SourceError` where the file is not CSV: what follows a broken quotation cannot be told.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    readers = cell_readers(codec)
    number, line = 0, 1
    try:
        header = next(reader, None)
        if not header:
            raise SourceError("line 1: no header")
        if len(set(header)) < len(header):
            raise SourceError("line 1: a column's name occurs twice")
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if not cells:
                continue
            number += 1
            if number > after:
                yield _record(number, line, header, cells, readers)
    except csv.Error as error:
        raise SourceError(f"line {line}: {error}") from error


def _record(number: int, line: int, header: list[str], cells: list[str], readers: dict[str, Read]) -> Row | Unfit:
    if len(cells) != len(header):
        return Unfit(number, f"{len(cells)} cells, and the header has {len(header)}", line)
    data: dict[str, Any] = {}
    faults = []
    for name, cell in zip(header, cells, strict=True):
        read = readers.get(name)
        try:
            cell.encode()
            data[name] = cell if read is None else read(cell)
        except UnicodeEncodeError:
            faults.append(f"/{name} is not UTF-8")
        except Unconvertible as error:
            faults.append(f"/{name} {error}")
    return Unfit(number, "; ".join(faults), line) if faults else Row(number, "", None, data, line)
