"""`headrace serve`: the reading and admin API."""

from __future__ import annotations

from headrace.consumers.reading import Reading
from headrace.http.service import run_service
from headrace.schemas.catalogue import load_catalogue
from headrace.settings import ServeSettings


def serve() -> None:
    """Run the reading and admin API (HEADRACE_SERVE_PORT, 8080)."""
    settings = ServeSettings()
    catalogue = load_catalogue(settings)
    run_service("serve", settings, settings.port, lambda: [Reading(settings, catalogue)])
