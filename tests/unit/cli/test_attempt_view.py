from __future__ import annotations

from typing import Any

import orjson
import pytest

from headrace.cli.attempt_view import as_line, printer
from headrace.client import Attempt

RAW: dict[str, Any] = {
    "event_id": "evt-1",
    "partition": 2,
    "offset": 70,
    "attempt": 3,
    "at": "2026-11-24T09:00:00Z",
    "outcome": "retry",
    "status": 500,
    "error": "answered 500",
    "seconds": {"dns": 0.0, "connect": 0.0, "tls": 0.0, "first_byte": 0.012, "total": 0.0125},
    "answer": "oops",
    "next_attempt": "2026-11-24T09:30:00Z",
}


def attempt(**more: Any) -> Attempt:
    return Attempt.of({**RAW, **more})


def test_a_line_says_what_came_of_an_attempt_and_what_follows() -> None:
    words = as_line(attempt()).plain.split()
    assert words[2:10] == ["retry", "500", "0.013", "s", "evt-1", "2/70", "#3", "again"]
    assert words[12:] == ["answered", "500"]
    done = as_line(attempt(outcome="done", status=204, error=None, next_attempt=None)).plain
    assert done.endswith("204    0.013 s  evt-1  2/70  #3")


def test_an_attempt_without_an_answer_has_no_status_and_nothing_steers_the_terminal() -> None:
    line = as_line(attempt(status=None, error="refused\x1b[2J", event_id="e\x07")).plain
    assert line.split()[3] == "-"
    assert line.isprintable()


def test_what_is_no_terminal_gets_all_of_it_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    printer(json=False)(attempt())
    assert orjson.loads(capsys.readouterr().out) == RAW
