from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from headrace.cli.endpoint_credentials import credentials

NONE: dict[str, Any] = dict.fromkeys(
    ("auth", "token_url", "scope", "header", "header_from", "ca", "certificate", "key")
)


def given(**members: Any) -> dict[str, Any]:
    return credentials(**{**NONE, **members})


def test_nothing_given_is_nothing_said() -> None:
    assert given() == {}


def test_each_kind_has_its_secret_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_ENDPOINT_SECRET", "hidden")
    assert given(auth="basic:me")["auth"] == {"type": "basic", "username": "me", "password": "hidden"}
    assert given(auth="bearer")["auth"] == {"type": "bearer", "token": "hidden"}
    oauth2 = {"type": "oauth2", "token_url": "https://t", "client_id": "c:1", "client_secret": "hidden"}
    assert given(auth="oauth2:c:1", token_url="https://t")["auth"] == oauth2
    assert given(auth="oauth2:c:1", token_url="https://t", scope="push")["auth"] == {**oauth2, "scope": "push"}


def test_at_a_terminal_the_secret_is_asked_for_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def prompt(text: str, **how: Any) -> str:
        asked.update(how, text=text)
        return "typed"

    monkeypatch.delenv("HEADRACE_ENDPOINT_SECRET", raising=False)
    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert given(auth="basic:me")["auth"]["password"] == "typed"
    assert asked == {"text": "Password of me", "hide_input": True, "err": True}


def test_where_nobody_can_be_asked_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_ENDPOINT_SECRET", raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(typer.BadParameter, match="HEADRACE_ENDPOINT_SECRET"):
        given(auth="bearer")


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"auth": "basic:me:password"}, "password is not given here"),
        ({"auth": "basic"}, "basic:USER"),
        ({"auth": "bearer:token"}, "basic:USER"),
        ({"auth": "digest:me"}, "basic:USER"),
        ({"auth": "oauth2:me"}, "--token-url"),
        ({"auth": "bearer", "token_url": "https://t"}, "go with"),
        ({"scope": "push"}, "go with"),
        ({"header_from": ["X-Key=HEADRACE_TEST_NOT_SET"]}, "HEADRACE_TEST_NOT_SET is not set"),
        ({"key": Path("/nowhere/key.pem")}, "No such file"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(
    members: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ENDPOINT_SECRET", "hidden")
    with pytest.raises(typer.BadParameter, match=why):
        given(**members)


def test_headers_are_given_or_of_the_environment_and_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDPOINT_KEY", "k=1")
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN")
    told = given(header=["X-Team=ops"], header_from=["X-Key=ENDPOINT_KEY"], ca=ca)
    assert told == {"headers": {"X-Team": "ops", "X-Key": "k=1"}, "tls": {"ca": "-----BEGIN"}}
    ca.write_bytes(b"\xff\x00")
    with pytest.raises(typer.BadParameter, match="not PEM"):
        given(ca=ca)
