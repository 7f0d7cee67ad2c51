"""`headrace keys` against a real Kafka, without any service."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from headrace.access.api_key import split
from headrace.cli import app


@pytest.fixture(autouse=True)
def _servers(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", kafka)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def listed() -> list[dict[str, object]]:
    return [json.loads(line) for line in run("list", "--json").stdout.splitlines()]


def test_a_key_is_made_listed_without_its_secret_and_revoked() -> None:
    made = run("create", "--name", "shop", "--scope", "read:flights.*", "--expires", "30d", "--requests-per-s", "5")
    assert made.exit_code == 0
    text = made.stdout.strip()
    parts = split(text)
    assert parts is not None

    (key,) = [key for key in listed() if key["id"] == parts[0]]
    assert (key["name"], key["scopes"], key["quotas"]) == ("shop", ["read:flights.*"], {"requests_per_s": 5.0})
    assert key["expires"] is not None
    assert parts[1] not in run("list", "--json").output

    assert run("revoke", text).exit_code == 0
    assert parts[0] not in [key["id"] for key in listed()]
    again = run("revoke", text)
    assert again.exit_code == 1
    assert parts[1] not in again.output


def test_a_name_that_two_keys_have_revokes_neither() -> None:
    for _ in range(2):
        run("create", "--name", "twins", "--scope", "read:*")
    assert run("revoke", "twins").exit_code == 1
    assert [key["name"] for key in listed()].count("twins") == 2


@pytest.mark.parametrize(
    "arguments",
    [["--scope", "write:x"], ["--scope", "read:*", "--expires", "soon"], ["--scope", "read:*", "--expires", "0d"]],
)
def test_what_is_no_scope_or_time_is_refused_before_anything_is_written(arguments: list[str]) -> None:
    assert run("create", "--name", "refused", *arguments).exit_code == 2
    assert "refused" not in [key["name"] for key in listed()]


def test_a_key_for_the_settings_needs_no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert split(run("generate").stdout.strip()) is not None
