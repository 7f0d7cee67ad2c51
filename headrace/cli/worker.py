"""`headrace worker`: the stream processors."""

from __future__ import annotations


def worker() -> None:
    """Run stream processors, as a Faust app (metrics at HEADRACE_WORKER_PORT, 8082)."""
    from headrace.http.service import run_service
    from headrace.schemas.catalogue import load_catalogue
    from headrace.settings import WorkerSettings
    from headrace.streams.worker import Worker

    settings = WorkerSettings()
    catalogue = load_catalogue(settings)
    run_service("worker", settings, settings.port, lambda: [Worker(settings, catalogue)])
