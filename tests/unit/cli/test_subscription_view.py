from __future__ import annotations

import sys
from typing import Any

import orjson
import pytest

from headrace.cli.subscription_view import print_all, print_one
from headrace.client import Subscription

MEMBERS: dict[str, Any] = {
    "id": "sub_1",
    "feed": "flights",
    "url": "http://127.0.0.1:9000/",
    "mode": "webhook",
    "ordering": "none",
    "state": "active",
    "reason": "",
    "description": "",
    "labels": {},
    "start": "-1",
    "created": "2026-11-24T09:00:00Z",
    "updated": "2026-11-24T09:00:00Z",
}


def subscription(**more: Any) -> Subscription:
    return Subscription.of({**MEMBERS, **more}, etag='"1"')


def test_what_is_no_terminal_gets_a_line_of_json_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    print_all([subscription(), subscription(id="sub_2")], json=False)
    out = capsys.readouterr().out.splitlines()
    assert [orjson.loads(one)["id"] for one in out] == ["sub_1", "sub_2"]
    assert orjson.loads(out[0])["etag"] == '"1"'


def test_a_terminal_gets_a_table_and_the_secret_unbroken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_all([subscription()], json=False)
    assert "flights" in capsys.readouterr().out
    print_all([], json=False)
    assert "headrace subscribe" in capsys.readouterr().out
    print_all([], json=False, narrowed=True)
    assert "headrace subscribe" not in capsys.readouterr().out
    print_one(subscription(secret="whsec_" + "x" * 300, status=None), json=False)
    out = capsys.readouterr().out
    assert "whsec_" + "x" * 300 in out
    assert "start a relay" in out
    print_one(subscription(status=None, waits_for="no stream is called chat"), json=False)
    out = capsys.readouterr().out
    assert "no stream is called chat" in out
    assert "start a relay" not in out


def test_members_of_members_have_a_line_each_and_nothing_steers_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    more = {"labels": {"team": "ops"}, "batch": {"max_events": 10}, "types": ["a", "b"], "headers": [], "filter": None}
    print_one(subscription(**more, description="a\x1b[2Jb"), json=False)
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert (lines["labels.team"], lines["batch.max_events"], lines["types"]) == ("ops", "10", "a, b")
    assert (lines["headers"], lines["filter"], lines["description"], lines["etag"]) == ("-", "-", "a?[2Jb", '"1"')
    print_all([subscription(labels={"team": "[red]ops"})], json=False)
    # What looks like markup is a label's own text.
    assert "team=[red]ops" in capsys.readouterr().out
