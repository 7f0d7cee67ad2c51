"""`headrace serve`: the reading and admin API."""

from __future__ import annotations


def serve() -> None:
    """Run the reading and admin API (HEADRACE_SERVE_PORT, 8080)."""
    from headrace.consumers.reading import Reading
    from headrace.consumers.relay.vault import Vault
    from headrace.consumers.subscriptions import Subscriptions
    from headrace.durable.streams import Streams
    from headrace.http.service import Part, run_service
    from headrace.openapi.documentation import Documentation
    from headrace.schemas.catalogue import load_catalogue
    from headrace.settings import ServeSettings

    settings = ServeSettings()
    Vault.of(settings)  # without the keys that it needs, it does not start
    catalogue = load_catalogue(settings)

    def parts() -> list[Part]:
        streams = Streams(settings)
        reading = Reading(settings, catalogue, streams=streams)
        return [streams, reading, Subscriptions(settings, reading), Documentation(settings, catalogue)]

    run_service("serve", settings, settings.port, parts)
