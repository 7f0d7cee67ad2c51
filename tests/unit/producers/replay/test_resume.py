"""Where a replay goes on, from the marks found in the log."""

from __future__ import annotations

from headrace.producers.replay.resume import WINDOW, Mark, Place, mark_of, place


def marks(run: str, *rows: int) -> list[Mark]:
    return [Mark(run, row) for row in rows]


def test_a_feed_without_marks_has_no_place() -> None:
    assert place([]) is None


def test_a_run_without_holes_goes_on_behind_its_last_row() -> None:
    assert place(marks("a", 1, 2, 3)) == Place("a", 3)


def test_a_run_with_a_hole_goes_on_before_it_and_knows_what_lies_behind() -> None:
    found = place(marks("a", 1, 2, 4, 5))
    assert found == Place("a", 2, frozenset({4, 5}))
    assert found.last == 5


def test_what_lies_before_the_window_is_in_the_log_whether_it_was_seen_or_not() -> None:
    last = 3 * WINDOW
    assert place(marks("a", last)) == Place("a", last - WINDOW, frozenset({last}))


def test_only_the_latest_run_counts() -> None:
    old = marks("2026-01-01T00:00:00.000Z", *range(1, 500))
    assert place([*old, *marks("2026-01-02T00:00:00.000Z", 1, 2)]) == Place("2026-01-02T00:00:00.000Z", 2)


def test_a_mark_is_read_from_headers_of_its_source_alone() -> None:
    headers: list[tuple[str, str | bytes | None]] = [
        ("ce_source", b"/sources/a"),
        ("ce_replayrow", b"12"),
        ("ce_replayrun", b"2026-01-01T00:00:00.000Z"),
    ]
    assert mark_of(headers, "/sources/a") == Mark("2026-01-01T00:00:00.000Z", 12)
    assert mark_of(headers, "/sources/b") is None
    assert mark_of(headers[:1], "/sources/a") is None
    assert mark_of([*headers[:1], ("ce_replayrow", b"x"), headers[2]], "/sources/a") is None
    assert mark_of(None, "/sources/a") is None
