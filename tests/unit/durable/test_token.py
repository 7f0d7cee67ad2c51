from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.core.position import Position
from headrace.durable.token import MalformedToken, decode_token, encode_token, identity_of, same_name

IDENTITY = identity_of("flights", "9f3NqzQ2T4uQ0c0yA2rLPw")
ALPHABET = string.ascii_letters + string.digits + "-_"

positions = st.lists(st.integers(0, 2**60 - 1), min_size=1, max_size=64).map(tuple)


@given(positions)
def test_a_token_gives_back_its_position_and_identity(position: Position) -> None:
    assert decode_token(encode_token(position, IDENTITY)) == (position, IDENTITY)


@given(st.lists(st.integers(0, 2**40), min_size=32, max_size=32).map(tuple))
def test_32_partitions_of_2_to_the_40th_stay_below_256_characters(position: Position) -> None:
    assert len(encode_token(position, IDENTITY)) < 256


@given(positions)
def test_a_token_needs_no_escaping_in_a_url_or_a_header(position: Position) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", encode_token(position, IDENTITY))


@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 2**20)), min_size=1, max_size=20),
)
def test_tokens_sort_as_text_along_a_read(start: list[int], steps: list[tuple[int, int]]) -> None:
    position, tokens = list(start), [encode_token(tuple(start), IDENTITY)]
    for partition, records in steps:
        position[partition % len(position)] += records
        tokens.append(encode_token(tuple(position), IDENTITY))
    assert tokens == sorted(set(tokens))


@given(positions, st.data())
def test_a_token_with_one_wrong_character_is_malformed(position: Position, data: st.DataObject) -> None:
    token = encode_token(position, IDENTITY)
    index = data.draw(st.integers(0, len(token) - 1))
    # The last character may hold bits that stand for nothing.
    other = data.draw(st.sampled_from([c for c in ALPHABET if c != token[index]]))
    damaged = token[:index] + other + token[index + 1 :]
    if index == len(token) - 1:
        try:
            assert decode_token(damaged) == (position, IDENTITY)
        except MalformedToken:
            return
    else:
        with pytest.raises(MalformedToken):
            decode_token(damaged)


@given(positions, st.data())
def test_a_token_that_was_cut_off_or_has_more_after_it_is_malformed(position: Position, data: st.DataObject) -> None:
    token = encode_token(position, IDENTITY)
    length = data.draw(st.integers(0, len(token) - 1))
    with pytest.raises(MalformedToken):
        decode_token(token[:length])
    with pytest.raises(MalformedToken):
        decode_token(token + data.draw(st.text(ALPHABET, min_size=1, max_size=8)))


@given(st.text(max_size=300) | st.text(ALPHABET, min_size=17, max_size=300))
def test_any_other_text_is_malformed(text: str) -> None:
    with pytest.raises(MalformedToken):
        decode_token(text)


def test_a_topic_that_was_made_again_has_another_identity_and_the_same_name() -> None:
    again = identity_of("flights", "another-topic-id")
    assert again != IDENTITY
    assert same_name(again, IDENTITY)


def test_a_topic_of_another_name_is_told_apart() -> None:
    assert not same_name(identity_of("planes", "another-topic-id"), IDENTITY)
