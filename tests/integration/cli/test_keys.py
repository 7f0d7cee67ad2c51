"""`headrace keys` against a real Kafka, without any service."""

from __future__ import annotations

import json

import pytest
from integration.cli.conftest import Done, headrace

from headrace.access.api_key import split


@pytest.fixture(autouse=True)
def _servers(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", kafka)


async def run(*arguments: str) -> Done:
    return await headrace("http://127.0.0.1:1", "keys", *arguments)


async def listed() -> list[dict[str, object]]:
    return [json.loads(line) for line in (await run("list", "--json")).out.splitlines()]


async def test_a_key_is_made_listed_without_its_secret_and_revoked() -> None:
    made = await run(
        "create", "--name", "shop", "--scope", "read:flights.*", "--expires", "30d", "--requests-per-s", "5"
    )
    assert made.status == 0
    text = made.out.decode().strip()
    parts = split(text)
    assert parts is not None

    (key,) = [key for key in await listed() if key["id"] == parts[0]]
    assert (key["name"], key["scopes"], key["quotas"]) == ("shop", ["read:flights.*"], {"requests_per_s": 5.0})
    assert key["expires"] is not None
    assert parts[1] not in (await run("list", "--json")).out.decode()

    assert (await run("revoke", text)).status == 0
    assert parts[0] not in [key["id"] for key in await listed()]
    again = await run("revoke", text)
    assert again.status == 1
    assert parts[1] not in again.err


async def test_a_name_that_two_keys_have_revokes_neither() -> None:
    for _ in range(2):
        await run("create", "--name", "twins", "--scope", "read:*")
    assert (await run("revoke", "twins")).status == 1
    assert [key["name"] for key in await listed()].count("twins") == 2


@pytest.mark.parametrize(
    "arguments",
    [["--scope", "write:x"], ["--scope", "read:*", "--expires", "soon"], ["--scope", "read:*", "--expires", "0d"]],
)
async def test_what_is_no_scope_or_time_is_refused_before_anything_is_written(arguments: list[str]) -> None:
    assert (await run("create", "--name", "refused", *arguments)).status == 2
    assert "refused" not in [key["name"] for key in await listed()]


async def test_a_key_for_the_settings_needs_no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert split((await run("generate")).out.decode().strip()) is not None
