"""Content codings: of whole pages, and of streams whose chunks are compressed once for all who follow.

A stream's chunk says nothing of the chunks before it, so that a follower can join at any of them:
- gzip: its header once, to each follower; then blocks of deflate, which end at a whole byte and refer to nothing before
  them (a flush), and follow each other in any number (RFC 1951 section 2.3). So the stream has one member for each
  follower: browsers leave out what follows a first one. It ends with its connection, without a trailer.
- zstd: each chunk is a frame, and frames follow each other in any number (RFC 8878 section 3).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping

import cramjam
import zstandard

PAGE_CODINGS = ("zstd", "br", "gzip")
STREAM_CODINGS = ("gzip", "zstd")

LEAST_BYTES = 1024
"""A smaller page is not worth it."""
THREAD_BYTES = 64 * 1024
"""A larger page is compressed in a thread: others need the event loop meanwhile."""

GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_LEVEL = 3
_BROTLI_LEVEL = 4
_ZSTD_LEVEL = 3


async def compressed(page: bytes, coding: str) -> bytes:
    """A page in a coding of `PAGE_CODINGS`."""
    if len(page) < THREAD_BYTES:
        return _WHOLE[coding](page)
    return await asyncio.to_thread(_WHOLE[coding], page)


def stream_start(coding: str | None) -> bytes:
    """What a follower gets before its first chunk."""
    return GZIP_HEADER if coding == "gzip" else b""


def stream_chunk(chunk: bytes, coding: str | None) -> bytes:
    """A chunk of a stream in a coding of `STREAM_CODINGS`, the same for all followers; None leaves it as it is."""
    return chunk if coding is None else _CHUNK[coding](chunk)


def _gzip(page: bytes) -> bytes:
    compressor = zlib.compressobj(_GZIP_LEVEL, wbits=31)
    return compressor.compress(page) + compressor.flush()


def _brotli(page: bytes) -> bytes:
    return bytes(cramjam.brotli.compress(page, level=_BROTLI_LEVEL))


def _zstd(page: bytes) -> bytes:
    return zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(page)


def _deflate_blocks(chunk: bytes) -> bytes:
    compressor = zlib.compressobj(_GZIP_LEVEL, wbits=-15)
    return compressor.compress(chunk) + compressor.flush(zlib.Z_SYNC_FLUSH)


_WHOLE: Mapping[str, Callable[[bytes], bytes]] = {"gzip": _gzip, "br": _brotli, "zstd": _zstd}
_CHUNK: Mapping[str, Callable[[bytes], bytes]] = {"gzip": _deflate_blocks, "zstd": _zstd}
