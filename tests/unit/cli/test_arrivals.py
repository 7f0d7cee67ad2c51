from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from headrace.cli.arrivals import MAX_DATA_CHARS, as_json, as_line, printer
from headrace.cli.receiver import Arrival

EVENT = {"id": "e1", "type": "flight", "partition": 1, "sequence": "0000000000000000000", "data": {"n": 1}}


def arrival(event: dict[str, Any] | None = EVENT, body: bytes = b"", **more: Any) -> Arrival:
    known: dict[str, Any] = {"webhook_id": "e1", "refused": None, "repeat": False, **more}
    body = body or orjson.dumps(event)
    return Arrival(datetime(2026, 11, 24, 9, tzinfo=UTC), body=body, event=event, **known)


def test_a_line_says_what_came_and_from_where() -> None:
    assert as_line(arrival()).plain[12:] == '  verified  e1  flight  1/0  {"n":1}'
    assert as_line(arrival(repeat=True)).plain[12:].split()[0] == "repeat"
    refused = as_line(arrival(refused="no signature fits", webhook_id=""))
    assert refused.plain[12:] == "  refused   -  no signature fits"


def test_long_data_is_cut_and_nothing_that_steers_a_terminal_is_printed() -> None:
    line = as_line(arrival({"type": "a\x1b[2Jb", "data": "x" * 1000}, webhook_id="i\x07d\x9b")).plain
    assert len(line) < MAX_DATA_CHARS + 60
    assert line.isprintable()
    assert as_line(arrival(None, b"\x1b]0;mine\x07 plain")).plain.isprintable()


def test_json_holds_all_of_it() -> None:
    told = orjson.loads(as_json(arrival()))
    assert (told["verified"], told["repeat"], told["event"]) == (True, False, EVENT)
    assert told["received"] == "2026-11-24T09:00:00+00:00"
    told = orjson.loads(as_json(arrival(refused="why")))
    assert (told["verified"], told["reason"]) == (False, "why")
    assert "event" not in told
    assert orjson.loads(as_json(arrival(None, b"plain\xff")))["body"] == "plain\ufffd"


def test_json_has_a_line_for_each_and_text_too(capsys: pytest.CaptureFixture[str]) -> None:
    printer(json=True)(arrival())
    printer(json=False)(arrival({**EVENT, "data": "a\nb"}))
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert orjson.loads(out[0])["webhook_id"] == "e1"
