from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.websocket.deflate import TAIL, Deflate, TooBig, negotiate


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [
        ([], None),
        (["permessage-deflate"], Deflate()),
        (["x-webkit-deflate-frame, permessage-deflate; client_max_window_bits"], Deflate()),
        (["permessage-deflate; server_max_window_bits=10"], Deflate(10)),
        (['permessage-deflate; server_max_window_bits="12"'], Deflate(12)),
        (["permessage-deflate; server_max_window_bits=8, permessage-deflate"], Deflate()),
        (["permessage-deflate; server_max_window_bits=8"], None),
        (["permessage-deflate; server_max_window_bits"], None),
        (["permessage-deflate; server_max_window_bits=016"], None),
        (["permessage-deflate; client_max_window_bits=16"], None),
        (["permessage-deflate; server_no_context_takeover=1"], None),
        (["permessage-deflate; client_no_context_takeover; client_no_context_takeover"], None),
        (["permessage-deflate; unknown"], None),
        (["permessage-deflate; unknown", "permessage-deflate; server_no_context_takeover"], Deflate()),
    ],
)
def test_the_first_offer_that_can_be_met_is_taken(offers: list[str], agreed: Deflate | None) -> None:
    assert negotiate(offers) == agreed


def test_the_answer_names_the_window_only_where_the_client_did() -> None:
    takeover = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    assert Deflate().answer == takeover
    assert Deflate(10).answer == f"{takeover}; server_max_window_bits=10"


@given(st.binary(max_size=5000), st.sampled_from([None, 9, 12, 15]))
def test_what_is_deflated_inflates_to_the_same(message: bytes, window_bits: int | None) -> None:
    deflate = Deflate(window_bits)
    compressed = deflate.compress(message)
    assert deflate.inflate(compressed, 5000) == message
    # The window is kept to: who has no larger one reads it.
    assert zlib.decompressobj(-(window_bits or 15)).decompress(compressed + TAIL) == message


def test_what_inflates_to_too_much_is_refused_before_it_is_held() -> None:
    bomb = Deflate().compress(b"\x00" * 10_000_000)
    with pytest.raises(TooBig):
        Deflate().inflate(bomb, 1000)


def test_a_block_that_calls_itself_the_last_may_be_followed_by_others() -> None:
    last = zlib.compressobj(6, zlib.DEFLATED, -15)
    first = last.compress(b"Hello") + last.flush(zlib.Z_FINISH)
    # RFC 7692 section 7.2.3.4: the message ends with an empty block, whose first byte stays.
    assert Deflate().inflate(first + b"\x00", 100) == b"Hello"
