"""The image's health check and Prometheus look for services where their settings put them."""

from __future__ import annotations

import http.server
import os
import re
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace import settings
from headrace.settings import Settings

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
HEALTHCHECK = DEPLOY / "healthcheck.py"
PORTS: dict[str, int] = runpy.run_path(str(HEALTHCHECK))["PORTS"]


def defaults() -> dict[str, int]:
    """The default port of every service, by the middle of its variable: HEADRACE_<SERVICE>_PORT."""
    found = {}
    for value in vars(settings).values():
        port = value.model_fields.get("port") if isinstance(value, type) and issubclass(value, Settings) else None
        if port is not None and port.alias is not None:
            found[port.alias.removeprefix("HEADRACE_").removesuffix("_PORT")] = int(port.default)
    return found


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that gives every request this status; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def exit_code(port: int) -> int:
    """The health check's, in a container whose relay listens at the port, and nothing else does."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and not listening: refuses
        ports = {f"HEADRACE_{service}_PORT": str(closed.getsockname()[1]) for service in PORTS}
        ports["HEADRACE_RELAY_PORT"] = str(port)
        return subprocess.run([sys.executable, HEALTHCHECK], env={**os.environ, **ports}, check=False).returncode


def test_the_health_check_knows_the_port_of_every_service() -> None:
    assert defaults() == PORTS


def test_a_service_that_answers_is_healthy() -> None:
    with answering(200) as port:
        assert exit_code(port) == 0


def test_a_service_that_answers_with_an_error_is_not_healthy() -> None:
    with answering(503) as port:
        assert exit_code(port) == 1


def test_a_container_in_which_nothing_listens_is_not_healthy() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert exit_code(closed.getsockname()[1]) == 1


def test_prometheus_scrapes_every_service_of_compose_at_its_port() -> None:
    compose = (DEPLOY / "compose.yaml").read_text("utf-8")
    services = re.findall(r"^  (\w+):\n    <<: \*(?:headrace|keyholder)$", compose, re.MULTILINE)
    text = (DEPLOY / "prometheus/prometheus.yml").read_text("utf-8")
    scraped = {name: int(port) for name, port in re.findall(r"names: \[(\w+)\], type: A, port: (\d+)", text)}

    assert scraped == {name: defaults()["SOURCE" if name == "replay" else name.upper()] for name in services}
    assert services
