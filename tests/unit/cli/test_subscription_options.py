from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from headrace.cli.subscription_options import from_file, merged, options, pairs

NONE: dict[str, Any] = dict.fromkeys(
    (
        "description",
        "label",
        "type_",
        "filter_",
        "ordering",
        "rate",
        "max_in_flight",
        "batch",
        "batch_wait_ms",
        "content_mode",
    )
)


def test_what_is_not_given_is_left_out_and_what_is_given_has_the_names_of_the_api() -> None:
    assert options(**NONE) == {}
    given = {"label": ["team=ops"], "type_": ["a", "b"], "rate": 2.5, "batch_wait_ms": 0, "description": ""}
    assert options(**{**NONE, **given}) == {
        "labels": {"team": "ops"},
        "types": ["a", "b"],
        "rate_limit_per_s": 2.5,
        "batch": {"max_wait_ms": 0},
        "description": "",
    }


def test_a_value_may_hold_equals_signs_and_may_be_empty() -> None:
    assert pairs(["a=b=c", "d="], "--label") == {"a": "b=c", "d": ""}


@pytest.mark.parametrize("text", ["team", "=ops", ""])
def test_what_is_no_name_and_value_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="NAME=VALUE"):
        pairs([text], "--label")


def test_a_file_may_hold_any_members_and_may_be_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "subscription.json"
    file.write_text('{"retry_s": [1, 2]}')
    assert from_file(file) == {"retry_s": [1, 2]}
    assert from_file(None) == {}
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b'{"filter": null}')))
    assert from_file(Path("-")) == {"filter": None}


@pytest.mark.parametrize(("content", "why"), [("{", "not JSON"), ("[]", "not a JSON object")])
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "subscription.json"
    file.write_text(content)
    with pytest.raises(typer.BadParameter, match=why):
        from_file(file)
    with pytest.raises(typer.BadParameter, match="No such file"):
        from_file(tmp_path / "none")


def test_options_go_before_a_file_and_labels_and_batches_go_together() -> None:
    file = {"filter": "true", "ordering": "key", "labels": {"a": "1", "b": "1"}, "batch": {"max_events": 5}}
    given = {"filter": "false", "labels": {"b": "2"}, "batch": {"max_wait_ms": 7}}
    assert merged(file, given) == {
        "filter": "false",
        "ordering": "key",
        "labels": {"a": "1", "b": "2"},
        "batch": {"max_events": 5, "max_wait_ms": 7},
    }
    assert merged({"labels": None}, {"labels": {"a": "1"}}) == {"labels": {"a": "1"}}
