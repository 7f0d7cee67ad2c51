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
    "description": "",
    "start": "-1",
    "created": "2026-11-24T09:00:00Z",
}


def subscription(**more: Any) -> Subscription:
    raw = {**MEMBERS, **more}
    return Subscription(**MEMBERS, secret=raw.get("secret"), status=None, raw=raw)


def test_what_is_no_terminal_gets_a_line_of_json_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    print_all([subscription(), subscription(id="sub_2")], json=False)
    out = capsys.readouterr().out.splitlines()
    assert [orjson.loads(one)["id"] for one in out] == ["sub_1", "sub_2"]


def test_a_terminal_gets_a_table_and_the_secret_unbroken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_all([subscription()], json=False)
    assert "flights" in capsys.readouterr().out
    print_all([], json=False)
    assert "headrace subscribe" in capsys.readouterr().out
    print_one(subscription(secret="whsec_" + "x" * 300, status=None), json=False)
    out = capsys.readouterr().out
    assert "whsec_" + "x" * 300 in out
    assert "start a relay" in out
