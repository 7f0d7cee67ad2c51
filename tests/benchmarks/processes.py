"""Services and peers as processes of their own, as users run them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from headrace.broker.properties import free_port
from headrace.secret_keys import new_secret_key

START_S = 60.0

SECRET_KEYS = new_secret_key()
"""One for all: services open each other's secrets."""


@contextlib.contextmanager
def service(command: str, bootstrap_servers: str, **environ: str) -> Iterator[int]:
    """Run `headrace <command>` until the block ends, on a free port; gives the port once it is ready."""
    port = free_port()
    settings = {
        "HEADRACE_BOOTSTRAP_SERVERS": bootstrap_servers,
        f"HEADRACE_{command.upper()}_PORT": str(port),
        "HEADRACE_LOG_LEVEL": "warning",
        "HEADRACE_SECRET_KEYS": SECRET_KEYS,
    }
    with process([sys.executable, "-m", "headrace", command], {**settings, **environ}):
        wait_for(f"http://127.0.0.1:{port}/readyz")
        yield port


@contextlib.contextmanager
def process(command: list[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends."""
    running = subprocess.Popen(command, env={**os.environ, **environ}, stdin=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


def wait_for(url: str) -> None:
    """Wait until a URL answers with a 2xx."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def gauge(port: int, name: str) -> float:
    """The sum of a metric of a service over its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def wait_for_gauge(port: int, name: str, least: float) -> None:
    """Wait until a metric of a service has come so far."""
    while gauge(port, name) < least:
        time.sleep(0.1)


async def until(condition: Callable[[], bool], timeout_s: float = 300.0, look_s: float = 0.05) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not come within {timeout_s:.0f} s"
        await asyncio.sleep(look_s)


@contextlib.contextmanager
def feeds(**definitions: str) -> Iterator[dict[str, str]]:
    """A directory of feed definitions; gives the environment that names it."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "feeds").mkdir()
        for name, definition in definitions.items():
            (Path(directory) / "feeds" / f"{name}.toml").write_text(definition)
        yield {"HEADRACE_FEEDS": directory}
