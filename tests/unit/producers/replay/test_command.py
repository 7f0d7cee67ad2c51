"""What `headrace source replay` says to a call that cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["notes.csv"], "name the --feed"),
        (["notes.csv", "--feed", "nosuch"], "no feed is called nosuch"),
        (["notes.csv", "--feed", "notes.dead"], "written by Headrace alone"),
        (["notes.csv", "--feed", "notes", "--speed", "10"], "--time-field"),
        (["notes.csv", "--feed", "notes", "--speed", "fast"], "positive number or max"),
        (["--feed", "notes"], "--feed goes with a file"),
    ],
)
def test_a_call_that_cannot_work_is_refused(
    own_feeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setenv("HEADRACE_FEEDS", str(own_feeds))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.csv").write_text("who\nme\n", "utf-8")
    result = CliRunner().invoke(app, ["source", "replay", *arguments])
    assert result.exit_code == 2
    assert words in result.output


def test_a_file_that_is_not_there_is_told(own_feeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_FEEDS", str(own_feeds))
    result = CliRunner().invoke(app, ["source", "replay", str(tmp_path / "no.csv"), "--feed", "notes"])
    assert result.exit_code == 1
    assert "no.csv: No such file" in result.output
