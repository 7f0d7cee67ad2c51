from __future__ import annotations

import zlib

import cramjam
import pytest
import zstandard

from headrace.consumers.compression import compressed, stream_chunk, stream_start

CHUNKS = [b"id: %d\ndata: %s\n\n" % (n, b"[1,2,3]" * n) for n in range(50)]


async def test_a_page_is_what_it_was_whatever_its_size() -> None:
    for page in (b"[" + b'{"a":1},' * 300 + b"{}]", b"x" * 500_000):
        assert zlib.decompress(await compressed(page, "gzip"), wbits=31) == page
        assert zstandard.ZstdDecompressor().decompress(await compressed(page, "zstd")) == page
        assert bytes(cramjam.brotli.decompress(await compressed(page, "br"))) == page


@pytest.mark.parametrize("joined", [0, 17, 49])
def test_a_gzip_stream_is_one_member_whenever_its_follower_joined_and_each_chunk_is_there_at_once(joined: int) -> None:
    inflater = zlib.decompressobj(wbits=31)
    assert inflater.decompress(stream_start("gzip")) == b""
    for chunk in CHUNKS[joined:]:
        assert inflater.decompress(stream_chunk(chunk, "gzip")) == chunk
    assert not inflater.unused_data
    assert not inflater.eof


@pytest.mark.parametrize("joined", [0, 17, 49])
def test_a_zstd_stream_is_a_frame_for_each_chunk(joined: int) -> None:
    for chunk in CHUNKS[joined:]:
        assert zstandard.ZstdDecompressor().decompress(stream_chunk(chunk, "zstd")) == chunk
    assert stream_start("zstd") == b""
    whole = b"".join(stream_chunk(chunk, "zstd") for chunk in CHUNKS[joined:])
    with zstandard.ZstdDecompressor().stream_reader(whole, read_across_frames=True) as reader:
        assert reader.read() == b"".join(CHUNKS[joined:])


def test_without_a_coding_a_stream_is_as_it_is() -> None:
    assert stream_start(None) + stream_chunk(CHUNKS[3], None) == CHUNKS[3]
