from __future__ import annotations

import sys
from typing import Any

import orjson
import pytest

from headrace.cli.backlog_view import print_undelivered
from headrace.client import Undelivered

RAW: dict[str, Any] = {
    "offset": "A" * 300,
    "lag": 1234,
    "parked": [{"partition": 0, "offset": 3, "attempt": 2, "next_attempt": "2026-11-24T09:00:05Z"}],
    "dead_letters": [
        {
            "event_id": "evt-4",
            "partition": 1,
            "offset": 4,
            "reason": "[red]no\x1b[2J",
            "attempts": 10,
            "at": "2026-11-24T08:00:00Z",
        }
    ],
}


def test_a_terminal_gets_what_waits_and_what_was_given_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    print_undelivered(Undelivered.of(RAW), json=False)
    out = capsys.readouterr().out
    assert out.startswith(f"1,234 events are not delivered, of those after {'A' * 300}.\n")
    assert "0/3" in out
    assert "1/4" in out
    assert "[red]no?[2J" in out
    print_undelivered(Undelivered.of({**RAW, "parked": [], "dead_letters": []}), json=False)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_what_is_no_terminal_gets_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_undelivered(Undelivered.of(RAW), json=False)
    [line] = capsys.readouterr().out.splitlines()
    assert orjson.loads(line) == RAW
