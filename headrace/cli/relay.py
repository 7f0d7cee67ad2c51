"""`headrace relay`: the owner of subscriptions."""

from __future__ import annotations


def relay() -> None:
    """Run a relay: it owns subscriptions and pushes their events (HEADRACE_RELAY_PORT, 8083)."""
    from headrace.consumers.relay.relay import Relay
    from headrace.consumers.relay.vault import Vault
    from headrace.http.service import run_service
    from headrace.schemas.catalogue import load_catalogue
    from headrace.settings import RelaySettings

    settings = RelaySettings()
    Vault.of(settings)  # without the keys that it needs, it does not start
    catalogue = load_catalogue(settings)
    run_service("relay", settings, settings.port, lambda: [Relay(settings, catalogue)])
