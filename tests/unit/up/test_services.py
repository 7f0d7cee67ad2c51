"""What the services of `headrace up` are given."""

from __future__ import annotations

import pytest

from headrace.settings import GatewaySettings, RelaySettings
from headrace.up.services import environment


def allowed(monkeypatch: pytest.MonkeyPatch, **before: str) -> list[str]:
    for name, value in environment(before, "broker:9092").items():
        monkeypatch.setenv(name, value)
    assert GatewaySettings().webhook_allow == RelaySettings().webhook_allow
    return [str(network) for network in RelaySettings().webhook_allow]


def test_webhooks_may_go_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert allowed(monkeypatch) == ["127.0.0.0/8", "::1/128"]


def test_webhooks_may_go_where_the_user_allows_it_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert allowed(monkeypatch, HEADRACE_WEBHOOK_ALLOW="10.0.0.0/8") == ["10.0.0.0/8", "127.0.0.0/8", "::1/128"]


def test_the_rest_of_the_environment_is_kept() -> None:
    assert environment({"PATH": "/bin", "HEADRACE_WEBHOOK_ALLOW": ""}, "broker:9092") == {
        "PATH": "/bin",
        "HEADRACE_BOOTSTRAP_SERVERS": "broker:9092",
        "HEADRACE_WEBHOOK_ALLOW": "127.0.0.0/8,::1/128",
    }
