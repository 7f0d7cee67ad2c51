"""When a worker stands still."""

from __future__ import annotations

import pytest

from headrace.streams.watchdog import Stalled, Watchdog

PARTITION = ("feed", 0)


def look(watchdog: Watchdog, now_s: float, committed: int, end: int) -> None:
    watchdog.look(now_s, {PARTITION: committed}, {PARTITION: end})


def test_a_log_that_grows_while_nothing_is_committed_is_a_stall() -> None:
    watchdog = Watchdog(60)
    look(watchdog, 0, 10, 10)
    look(watchdog, 5, 10, 20)
    look(watchdog, 65, 10, 30)
    with pytest.raises(Stalled, match="60 s"):
        look(watchdog, 66, 10, 30)


def test_a_quiet_log_is_none() -> None:
    watchdog = Watchdog(60)
    for now_s in range(0, 600, 5):
        look(watchdog, now_s, 10, 10)


def test_nor_is_a_worker_that_is_behind_and_moves() -> None:
    watchdog = Watchdog(60)
    for now_s in range(0, 600, 5):
        look(watchdog, now_s, now_s, 1_000_000 + now_s)


def test_nor_what_lies_behind_the_last_record_and_is_none() -> None:
    watchdog = Watchdog(60)
    for now_s in range(0, 600, 5):
        look(watchdog, now_s, 10, 11)  # the marker of a transaction


def test_partitions_that_come_and_go_begin_anew() -> None:
    watchdog = Watchdog(60)
    look(watchdog, 0, 10, 10)
    look(watchdog, 5, 10, 20)
    watchdog.look(50, {PARTITION: 10, ("feed", 1): 0}, {PARTITION: 30, ("feed", 1): 0})
    watchdog.look(100, {PARTITION: 10, ("feed", 1): 0}, {PARTITION: 40, ("feed", 1): 0})
    look(watchdog, 150, 10, 40)
    watchdog.look(200, {}, {})
