"""The body of a request, inflated under a cap: what it expands to is bounded, not what was sent."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from http import HTTPStatus

import zstandard
from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from headrace.http.problems import Problem

ACCEPTED = "gzip, zstd, identity"
ZSTD_PIECE_BYTES = 256
"""Inflated at once. A block of four bytes may expand to 128 KiB, so this many to 8 MiB beyond the cap at most."""


async def read_body(request: web.Request, max_bytes: int) -> bytes:
    """The body without its Content-Encoding.

    Raises `Problem`: 413 beyond `max_bytes`, before or after inflating; 415 for another encoding; 400 if corrupt.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    if encoding in ("gzip", "x-gzip"):
        return await _gunzip(request, max_bytes)
    if encoding == "zstd":
        return await _unzstd(request, max_bytes)
    if encoding not in ("identity", ""):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding {encoding} is not taken; use {ACCEPTED}.",
            headers={"Accept-Encoding": ACCEPTED},
        )
    body = bytearray()
    async for chunk in _chunks(request, max_bytes):
        body += chunk
    return bytes(body)


async def _chunks(request: web.Request, max_bytes: int) -> AsyncIterator[bytes]:
    """What is sent, under the same cap: an endless body may well expand to nothing."""
    sent_bytes = 0
    try:
        async for chunk in request.content.iter_any():
            sent_bytes += len(chunk)
            if sent_bytes > max_bytes:
                raise _too_large(max_bytes)
            yield chunk
    except (ClientError, HttpProcessingError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"The body breaks off or is not framed as HTTP says: {error}.") from None


async def _gunzip(request: web.Request, max_bytes: int) -> bytes:
    body = bytearray()
    inflater = zlib.decompressobj(wbits=31)
    try:
        async for chunk in _chunks(request, max_bytes):
            left = chunk
            while left:
                if inflater.eof:  # a gzip file may have several members
                    inflater = zlib.decompressobj(wbits=31)
                body += inflater.decompress(left, max_bytes + 1 - len(body))
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
                left = inflater.unconsumed_tail or inflater.unused_data
    except zlib.error as error:
        raise _corrupt("gzip", str(error)) from None
    if not inflater.eof:
        raise _corrupt("gzip", "it ends too early")
    return bytes(body)


async def _unzstd(request: web.Request, max_bytes: int) -> bytes:
    body = bytearray()
    # A window beyond the cap could only serve a body beyond it.
    decompressor = zstandard.ZstdDecompressor(max_window_size=max(max_bytes, 1 << 10))
    # Not its stream_reader, which takes the end of the input for the end of the frame.
    inflater = decompressor.decompressobj()
    try:
        async for chunk in _chunks(request, max_bytes):
            at = 0
            while at < len(chunk):
                if inflater.eof:  # several frames may follow one another
                    inflater = decompressor.decompressobj()
                piece = chunk[at : at + ZSTD_PIECE_BYTES]
                body += inflater.decompress(piece)
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
                at += len(piece) - len(inflater.unused_data)
    except zstandard.ZstdError as error:
        if "too much memory" in str(error):
            raise _too_large(max_bytes) from None
        raise _corrupt("zstd", str(error)) from None
    if not inflater.eof:
        raise _corrupt("zstd", "it ends too early")
    return bytes(body)


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is larger than {max_bytes} bytes when inflated; send fewer events at a time.",
        max_bytes=max_bytes,
    )


def _corrupt(encoding: str, reason: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"The body is not valid {encoding}: {reason}.")
