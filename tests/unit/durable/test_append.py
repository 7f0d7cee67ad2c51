from __future__ import annotations

from typing import Any

import pytest

from headrace.durable.append import (
    Append,
    EpochBegins,
    MediaTypeDiffers,
    ProducerSeq,
    Refused,
    SeqGap,
    SeqRegressed,
    StaleEpoch,
    StreamClosed,
    check,
)
from headrace.durable.stream import Producer, Stream

TEXT = "text/plain"


def stream(**members: Any) -> Stream:
    return Stream(
        **{
            "name": "s",
            "id": "1",
            "topic": "s.1",
            "topic_id": "t",
            "media_type": TEXT,
            "created_ms": 0,
            "touched_ms": 0,
            "end": (0,),
            **members,
        }
    )


def append(epoch: int | None = None, producer_seq: int = 0, **members: Any) -> Append:
    producer = None if epoch is None else ProducerSeq("p", epoch, producer_seq)
    return Append(**{"messages": [b"x"], "media_type": TEXT, "producer": producer, **members})


def test_media_types_are_the_same_but_for_case_and_parameters() -> None:
    assert check(stream(media_type="Text/Plain; charset=utf-8"), None, append())
    with pytest.raises(MediaTypeDiffers):
        check(stream(), None, append(media_type="application/json"))


@pytest.mark.parametrize(("last", "seq", "above"), [("2", "10", False), ("09", "10", True), ("a", "B", False)])
def test_stream_seq_is_compared_byte_by_byte(last: str, seq: str, above: bool) -> None:
    if above:
        assert check(stream(seq=last), None, append(seq=seq))
    else:
        with pytest.raises(SeqRegressed):
            check(stream(seq=last), None, append(seq=seq))


@pytest.mark.parametrize(
    ("known", "said", "outcome"),
    [
        (None, (0, 0), True),
        (None, (5, 0), True),
        (None, (0, 1), SeqGap),
        ((0, 3), (0, 4), True),
        ((0, 3), (0, 3), False),
        ((0, 3), (0, 0), False),
        ((0, 3), (0, 5), SeqGap),
        ((0, 3), (1, 0), True),
        ((0, 3), (1, 1), EpochBegins),
        ((2, 3), (1, 4), StaleEpoch),
    ],
)
def test_a_producer_goes_on_in_its_epoch_or_begins_another(
    known: tuple[int, int] | None, said: tuple[int, int], outcome: bool | type[Refused]
) -> None:
    state = None if known is None else Producer(*known)
    if isinstance(outcome, bool):
        assert check(stream(), state, append(*said)) is outcome
    else:
        with pytest.raises(outcome):
            check(stream(), state, append(*said))


def test_a_retry_is_one_whatever_else_it_says() -> None:
    assert not check(stream(seq="b", closed=True), Producer(0, 0), append(0, 0, seq="a", media_type="application/json"))


def test_nothing_is_appended_to_a_closed_stream_but_it_may_be_closed_again() -> None:
    closed = stream(closed=True)
    for refused in (append(), append(close=True), append(0, 0, messages=[], close=True)):
        with pytest.raises(StreamClosed) as caught:
            check(closed, None, refused)
        assert caught.value.stream is closed
    assert not check(closed, None, append(messages=[], close=True))
