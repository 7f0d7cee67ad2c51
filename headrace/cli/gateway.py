"""`headrace gateway`: the writing, reading and admin APIs on one port."""

from __future__ import annotations


def gateway() -> None:
    """Run the writing and the reading API on one port (HEADRACE_GATEWAY_PORT, 8080)."""
    from headrace.consumers.reading import Reading
    from headrace.consumers.relay.vault import Vault
    from headrace.consumers.subscriptions import Subscriptions
    from headrace.durable.streams import Streams
    from headrace.http.service import Part, run_service
    from headrace.openapi.documentation import Documentation
    from headrace.producers.ingest import Ingest
    from headrace.schemas.catalogue import load_catalogue
    from headrace.settings import GatewaySettings

    settings = GatewaySettings()
    Vault.of(settings)  # without the keys that it needs, it does not start
    catalogue = load_catalogue(settings)

    def parts() -> list[Part]:
        streams = Streams(settings, settings.queue_bytes)
        ingest = Ingest(settings, catalogue, streams)
        reading = Reading(settings, catalogue, ingest, streams)
        return [streams, ingest, reading, Subscriptions(settings, reading), Documentation(settings, catalogue)]

    run_service("gateway", settings, settings.port, parts)
