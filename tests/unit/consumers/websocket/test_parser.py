from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.websocket.deflate import Deflate
from headrace.consumers.websocket.frames import CloseCode, Opcode
from headrace.consumers.websocket.parser import Parser, Violation

MASK = b"\x11\x22\x33\x44"


def masked(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 1 << 16:
        length = bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    body = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return bytes(((0x80 if fin else 0) | rsv | opcode,)) + length + MASK + body


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.lists(st.integers(1, 50), min_size=1))
def test_messages_are_the_same_however_their_bytes_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(masked(Opcode.BINARY, message) for message in messages)
    parser, found, at, turn = Parser(1000, None), [], 0, 0
    while at < len(wire):
        step = cuts[turn % len(cuts)]
        found += list(parser.feed(wire[at : at + step]))
        at, turn = at + step, turn + 1
    assert found == [(Opcode.BINARY, message) for message in messages]


@given(st.text(max_size=100), st.data())
def test_text_may_be_cut_within_a_character_and_pinged_through(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    cut = data.draw(st.integers(0, len(whole)))
    parser = Parser(1000, None)
    wire = masked(Opcode.TEXT, whole[:cut], fin=False) + masked(Opcode.PING, b"!") + masked(0, whole[cut:])
    assert list(parser.feed(wire)) == [(Opcode.PING, b"!"), (Opcode.TEXT, whole)]


def test_a_compressed_message_in_fragments_is_inflated_whole() -> None:
    deflated = Deflate().compress(b"Hello" * 100)
    wire = masked(Opcode.TEXT, deflated[:3], fin=False, rsv=0x40) + masked(0, deflated[3:])
    assert list(Parser(1000, Deflate()).feed(wire)) == [(Opcode.TEXT, b"Hello" * 100)]


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\x81\x02hi", CloseCode.PROTOCOL_ERROR),  # no mask
        (masked(Opcode.TEXT, b"", rsv=0x40), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.TEXT, b"", rsv=0x20), CloseCode.PROTOCOL_ERROR),
        (masked(3, b""), CloseCode.PROTOCOL_ERROR),
        (masked(11, b""), CloseCode.PROTOCOL_ERROR),
        (masked(0, b""), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.TEXT, b"", fin=False) + masked(Opcode.TEXT, b""), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.PING, b"", fin=False), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.PING, b"x" * 126), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.CLOSE, b"\x03"), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.CLOSE, (1005).to_bytes(2, "big")), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.CLOSE, (2999).to_bytes(2, "big")), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.CLOSE, b"\x03\xe8\xff"), CloseCode.INVALID_DATA),
        (masked(Opcode.TEXT, b"\xff"), CloseCode.INVALID_DATA),
        (masked(Opcode.TEXT, b"\xc3", fin=False) + masked(0, b"("), CloseCode.INVALID_DATA),
        (masked(Opcode.TEXT, "ä".encode()[:1]), CloseCode.INVALID_DATA),
        (masked(Opcode.BINARY, b"x" * 101), CloseCode.TOO_BIG),
        (masked(Opcode.BINARY, b"x" * 200)[:4], CloseCode.TOO_BIG),  # by what it announces
        (masked(Opcode.BINARY, b"x" * 60, fin=False) + masked(0, b"x" * 60), CloseCode.TOO_BIG),
    ],
)
def test_what_the_standard_forbids_fails_with_its_code(wire: bytes, code: CloseCode) -> None:
    with pytest.raises(Violation) as violation:
        list(Parser(100, None).feed(wire))
    assert violation.value.code is code


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"\xff" * 20, CloseCode.INVALID_DATA), (Deflate().compress(b"x" * 200), CloseCode.TOO_BIG)],
)
def test_compression_hides_nothing(payload: bytes, code: CloseCode) -> None:
    with pytest.raises(Violation) as violation:
        list(Parser(100, Deflate()).feed(masked(Opcode.TEXT, payload, rsv=0x40)))
    assert violation.value.code is code


def test_compressed_text_is_utf_8_too() -> None:
    with pytest.raises(Violation) as violation:
        list(Parser(100, Deflate()).feed(masked(Opcode.TEXT, Deflate().compress(b"\xff"), rsv=0x40)))
    assert violation.value.code is CloseCode.INVALID_DATA
