"""Avro object container files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import fastavro

from headrace.producers.replay.row import Row, SourceError
from headrace.schemas.codec import AvroCodec, Codec


def avro_records(stream: BinaryIO, codec: Codec, after: int) -> Iterator[Row]:
    """The records with numbers above `after`, read as the feed's schema says (Avro 1.12, Schema Resolution).

    Raises `SourceError` where the file's schema cannot be read as the feed's, or the file is corrupt.
    """
    number = 0
    try:
        for data in fastavro.reader(stream, codec.schema.parsed if isinstance(codec, AvroCodec) else None):
            number += 1
            if number > after:
                yield Row(number, "", None, data)
    except fastavro.read.SchemaResolutionError as error:
        wanted = codec.schema.name if isinstance(codec, AvroCodec) else "the feed's"
        raise SourceError(f"its schema cannot be read as {wanted}: {error}") from error
    except (OSError, EOFError):
        raise
    except Exception as error:  # fastavro raises many kinds, some of them from C
        raise SourceError(f"after record {number}: {type(error).__name__}: {error}") from error
