from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.durable.media_type import essence, is_media_type, is_text
from headrace.durable.stream import PARTITIONS, Producer, Retired, Stream, from_bytes, partition_of, to_bytes
from headrace.durable.token import decode_token, identity_of

STREAM = Stream(
    name="s",
    id="1",
    topic="s.1",
    topic_id="t",
    media_type="text/plain",
    created_ms=1,
    touched_ms=1_000,
    end=(4, 0),
    expires="2100-01-01T00:00:00Z",
    seq="a",
)


@pytest.mark.parametrize("value", [STREAM, Producer(1, 2), Retired("s", "s.1")])
def test_what_is_kept_is_read_again(value: Any) -> None:
    assert from_bytes(to_bytes(value)) == value


def test_members_of_a_newer_version_are_left_out_and_nonsense_is_refused() -> None:
    assert from_bytes(b'{"kind":"producer","epoch":1,"seq":2,"colour":"red"}') == Producer(1, 2)
    for nonsense in (b"", b"[]", b"{}", b'{"kind":"x"}', b'{"kind":"stream"}'):
        with pytest.raises(ValueError, match="nothing of a stream"):
            from_bytes(nonsense)


def test_it_lives_for_its_time_and_touches_in_a_tenth_of_that_are_one() -> None:
    mortal = replace(STREAM, ttl_s=10)
    assert not mortal.has_expired(11_999)
    assert mortal.has_expired(12_000)
    assert not mortal.needs_touch(1_999)
    assert mortal.needs_touch(2_000)
    assert not STREAM.needs_touch(1e15)
    assert not STREAM.has_expired(1e15)
    assert replace(STREAM, expires_ms=5).has_expired(5)


def test_its_end_is_an_offset_token_that_another_topic_of_its_name_does_not_share() -> None:
    position, identity = decode_token(STREAM.next_offset)
    assert (position, identity) == ((4, 0), identity_of("s", "t"))


def test_who_asks_for_the_same_has_it() -> None:
    assert STREAM.same_as(replace(STREAM, media_type="TEXT/plain;charset=utf-8", end=(9, 9), seq="b"))
    for other in ({"media_type": "text/html"}, {"ttl_s": 1}, {"expires_ms": 1}, {"closed": True}, {"end": (0,)}):
        assert not STREAM.same_as(replace(STREAM, **other))


def test_every_partition_has_streams() -> None:
    assert {partition_of(f"s-{n}") for n in range(100)} == set(range(PARTITIONS))


@pytest.mark.parametrize("text", ["text/plain", "a/b;c=d", 'application/x.y+json ; a="b; c"', "image/png"])
def test_media_types(text: str) -> None:
    assert is_media_type(text)


@pytest.mark.parametrize(
    "text", ["", "text", "text/", "/plain", "text/plain;", "a b/c", "a/b\n", "text/plain; q", "x/" + "y" * 200]
)
def test_no_media_types(text: str) -> None:
    assert not is_media_type(text)


def test_what_server_sent_events_hold_as_it_is() -> None:
    assert [is_text(t) for t in ("text/csv", "Application/JSON; x=y", "image/png")] == [True, True, False]
    assert essence(" Text/Plain ; charset=utf-8") == "text/plain"
