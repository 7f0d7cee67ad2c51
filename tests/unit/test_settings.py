"""Settings, and the page that lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.settings import GatewaySettings, Settings, kafka_properties, reference_page

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
