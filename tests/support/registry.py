"""A small schema registry: the part of Confluent's HTTP interface that registering and reading schemas needs."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Registry:
    """Subjects with their versions, in memory. An equal schema has one id whatever its subjects."""

    def __init__(self) -> None:
        self.subjects: dict[str, list[int]] = {}
        self.schemas: dict[int, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.broken = False
        self.url = ""
        self._lock = threading.Lock()

    def register(self, subject: str, registered: dict[str, Any]) -> int:
        """The schema's id, a new one where it is new."""
        with self._lock:
            known = [number for number, schema in self.schemas.items() if schema == registered]
            schema_id = known[0] if known else len(self.schemas) + 101
            self.schemas[schema_id] = registered
            versions = self.subjects.setdefault(subject, [])
            if schema_id not in versions:
                versions.append(schema_id)
            return schema_id

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and body of an answer."""
        if self.broken:
            return 500, {"error_code": 50001, "message": "Error in the backend data store"}
        if path == "/subjects":
            return 200, sorted(self.subjects)
        if found := re.fullmatch(r"/schemas/ids/(\d+)", path):
            schema = self.schemas.get(int(found[1]))
            return (200, schema) if schema else (404, {"error_code": 40403, "message": "Schema not found"})
        if (found := re.fullmatch(r"/subjects/([^/]+)/versions", path)) and method == "POST":
            schema = {name: body[name] for name in ("schema", "schemaType", "references") if body.get(name)}
            schema_id = self.register(unquote(found[1]), schema)
            return 200, {"id": schema_id, **schema}
        if found := re.fullmatch(r"/subjects/([^/]+)(?:/versions(?:/(\d+|latest))?)?", path):
            return self._subject(unquote(found[1]), found[2])
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _subject(self, subject: str, version: str | None) -> tuple[int, Any]:
        versions = self.subjects.get(subject)
        if versions is None:
            return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
        if version is None:
            return 200, list(range(1, len(versions) + 1))
        number = len(versions) if version == "latest" else int(version)
        if number > len(versions):
            return 404, {"error_code": 40402, "message": f"Version {number} not found."}
        schema_id = versions[number - 1]
        return 200, {"subject": subject, "version": number, "id": schema_id, **self.schemas[schema_id]}


@contextlib.contextmanager
def registry() -> Iterator[Registry]:
    """Serve a registry on a free port of the loopback interface."""
    held = Registry()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            held.requests.append(f"{self.command} {self.path}")
            status, body = held.answer(self.command, urlsplit(self.path).path, json.loads(content or "null"))
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the tests look at `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
