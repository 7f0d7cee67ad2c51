"""`headrace ingest`: the writing API."""

from __future__ import annotations


def ingest() -> None:
    """Run the writing API (HEADRACE_INGEST_PORT, 8081)."""
    from headrace.durable.streams import Streams
    from headrace.http.service import Part, run_service
    from headrace.openapi.documentation import Documentation
    from headrace.producers.ingest import Ingest
    from headrace.schemas.catalogue import load_catalogue
    from headrace.settings import IngestSettings

    settings = IngestSettings()
    catalogue = load_catalogue(settings)

    def parts() -> list[Part]:
        streams = Streams(settings, settings.queue_bytes)
        return [streams, Ingest(settings, catalogue, streams), Documentation(settings, catalogue)]

    run_service("ingest", settings, settings.port, parts)
