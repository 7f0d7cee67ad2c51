"""Settings, and the page that lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.settings import GatewaySettings, RelaySettings, ServeSettings, Settings, kafka_properties, reference_page

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_lists_the_settings_as_they_are() -> None:
    assert PAGE.read_text("utf-8") == reference_page(), "run: python -m headrace.settings > docs/settings.md"


def test_kafka_properties_are_named_by_variables() -> None:
    found = kafka_properties({"HEADRACE_KAFKA_SASL_USERNAME": "me", "HEADRACE_PORT": "1", "KAFKA_X": "y"})
    assert found == {"sasl.username": "me"}


def test_every_client_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", "broker:9093")
    monkeypatch.setenv("HEADRACE_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    assert Settings().kafka() == {"bootstrap.servers": "broker:9093", "security.protocol": "SASL_SSL"}


def test_services_have_ports_of_their_own_and_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_INGEST_PORT", "9999")
    monkeypatch.setenv("HEADRACE_FEEDS", "")
    settings = GatewaySettings()
    assert (settings.port, settings.feeds) == (8080, None)


def test_where_webhooks_may_go_is_the_same_for_gateway_and_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_WEBHOOK_ALLOW", "10.0.0.0/8, ::1/128,")
    monkeypatch.setenv("HEADRACE_WEBHOOK_PORTS", "443,8443")
    for settings in (GatewaySettings(), ServeSettings(), RelaySettings()):
        assert [str(network) for network in settings.webhook_allow] == ["10.0.0.0/8", "::1/128"]
        assert settings.webhook_ports == (443, 8443)


def test_webhooks_may_go_nowhere_special_by_default() -> None:
    assert (RelaySettings().webhook_allow, RelaySettings().webhook_ports) == ((), ())


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("webhook_allow", "10.0.0.1/8", "has host bits set"),
        ("webhook_allow", "10.0.0.0/33", "does not appear to be an IPv4 or IPv6 network"),
        ("webhook_allow", "internal.example", "does not appear to be an IPv4 or IPv6 network"),
        ("webhook_allow", "::ffff:10.0.0.0/104", "write it as an IPv4 network"),
        ("webhook_ports", "https", "valid integer"),
        ("webhook_ports", "0", "greater than or equal to 1"),
        ("webhook_ports", "65536", "less than or equal to 65535"),
    ],
)
def test_what_is_no_network_or_port_is_refused(
    name: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"HEADRACE_{name.upper()}", value)
    with pytest.raises(ValueError, match=why):
        RelaySettings()
