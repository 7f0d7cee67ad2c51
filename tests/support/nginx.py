"""A real nginx as it is documented, in front of a gateway."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.waiting import until

EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx" / "headrace.conf"

MAIN = """
daemon off;
user {user};
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/headrace.conf;
}}
"""


def found_nginx() -> str:
    """The path of nginx; skips the test where there is none."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip("NO NGINX: nothing is known of caching proxies; install nginx (Debian: nginx-light)")
    return path


@contextlib.asynccontextmanager
async def caching(url: str, directory: Path) -> AsyncIterator[str]:
    """Run nginx with the example's configuration in front of a gateway; gives its URL."""
    path = found_nginx()
    port = _free_port()
    gateway = urlsplit(url)
    text = EXAMPLE.read_text("utf-8")
    for old, new in (
        ("/var/cache/nginx/headrace", f"{directory}/cache"),
        ("server 127.0.0.1:8080;", f"server {gateway.hostname}:{gateway.port};"),
        ("listen 8000;", f"listen 127.0.0.1:{port} backlog=2048;"),
    ):
        assert old in text
        text = text.replace(old, new)
    (directory / "headrace.conf").write_text(text, "utf-8")
    (directory / "nginx.conf").write_text(MAIN.format(directory=directory, user=getpass.getuser()), "utf-8")
    process = subprocess.Popen([path, "-p", str(directory), "-c", str(directory / "nginx.conf")])
    try:
        await until(lambda: _listens(port) or process.poll() is not None)
        assert process.poll() is None, (directory / "error.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
