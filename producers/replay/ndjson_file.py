"""NDJSON: a JSON value on every line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import orjson

from headrace.producers.replay.row import Row, Unfit
from headrace.schemas.codec import Codec


def ndjson_records(stream: BinaryIO, codec: Codec, after: int) -> Iterator[Row | Unfit]:
    """The records with numbers above `after`. Empty lines are no records."""
    number = 0
    for line_number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        number += 1
        if number <= after:
            continue
        try:
            yield Row(number, "", None, orjson.loads(line), line_number)
        except orjson.JSONDecodeError as error:
            yield Unfit(number, f"not JSON: {error}", line_number)
