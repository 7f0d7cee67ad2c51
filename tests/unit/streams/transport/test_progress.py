"""How far was processed, in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from faust.types import TP, Message
from hypothesis import given
from hypothesis import strategies as st

from headrace.streams.transport.progress import Progress

ZERO, ONE = TP("feed", 0), TP("feed", 1)


@dataclass(eq=False)
class Fake:
    """What progress looks at of a message."""

    tp: TP
    offset: int


def message(offset: int, tp: TP = ZERO) -> Message:
    return cast("Message", Fake(tp, offset))


def test_only_the_finished_prefix_counts() -> None:
    progress = Progress()
    first, second, third = message(9), message(19), message(29)
    for read in (first, second, third):
        progress.begin(read)
    progress.finish(second)
    assert progress.next_offset(ZERO) is None
    progress.finish(first)
    assert progress.next_offset(ZERO) == 20
    progress.finish(third)
    assert progress.next_offset(ZERO) == 30


def test_partitions_do_not_wait_for_one_another() -> None:
    progress = Progress()
    slow, fast = message(9), message(4, ONE)
    progress.begin(slow)
    progress.begin(fast)
    progress.finish(fast)
    assert (progress.next_offset(ZERO), progress.next_offset(ONE)) == (None, 5)


def test_the_finish_of_a_batch_that_was_forgotten_moves_nothing() -> None:
    progress = Progress()
    old = message(9)
    progress.begin(old)
    progress.forget([ZERO])
    again = message(9)
    progress.begin(again)
    progress.finish(old)
    assert progress.next_offset(ZERO) is None
    progress.finish(again)
    assert progress.next_offset(ZERO) == 10


def test_what_was_finished_is_told_until_it_is_forgotten() -> None:
    progress = Progress()
    read = message(9)
    progress.begin(read)
    progress.finish(read)
    assert [progress.next_offset(ZERO) for _ in range(2)] == [10, 10]
    progress.forget([ZERO])
    assert progress.next_offset(ZERO) is None


@given(order=st.permutations(range(8)), tell=st.integers(0, 8))
def test_no_order_of_finishing_steps_over_a_batch(order: list[int], tell: int) -> None:
    progress = Progress()
    batches = [message(10 * n + 9) for n in range(8)]
    for batch in batches:
        progress.begin(batch)
    finished: set[int] = set()
    for number in order[:tell]:
        progress.finish(batches[number])
        finished.add(number)
        prefix = next((n for n in range(8) if n not in finished), 8)
        assert progress.next_offset(ZERO) == (10 * prefix if prefix else None)
