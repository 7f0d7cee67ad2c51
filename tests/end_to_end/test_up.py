"""What a newcomer does in the first minutes: `headrace up`, curl, pull, listen, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from support.waiting import until

from headrace.broker.properties import free_port

Running = tuple[subprocess.Popen[bytes], Path]
HEADRACE = [sys.executable, "-m", "headrace"]


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """Free ports, so that nothing else on the machine is in the way."""
    ports = {f"HEADRACE_{name}_PORT": str(free_port()) for name in ("GATEWAY", "WORKER", "RELAY", "SOURCE")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return {**clean, **ports, "HEADRACE_URL": f"http://127.0.0.1:{ports['HEADRACE_GATEWAY_PORT']}"}


@pytest.fixture(scope="module")
def up(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`headrace up`, its output in a file."""
    directory = tmp_path_factory.mktemp("up")
    command = [*HEADRACE, "up", "--data-dir", str(directory), "--port", str(free_port()), "--speed", "36000"]
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield process, directory
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        process.wait(60)


def fetched(environ: dict[str, str]) -> list[dict[str, object]]:
    url = f"{environ['HEADRACE_URL']}/v1/feeds/flights.enriched/events?limit=2"
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        events: list[dict[str, object]] = orjson.loads(answer.read())
        return events
    return []


async def test_enriched_flights_come_out_of_curl_pull_and_listen(up: Running, environ: dict[str, str]) -> None:
    events = await until(lambda: fetched(environ), 120, every_s=0.5)
    assert b"Webhooks may go to this machine" in (up[1] / "output").read_bytes()
    assert isinstance(events[0]["data"], dict)
    assert events[0]["data"]["airline_name"]

    pulled = subprocess.run(
        [*HEADRACE, "pull", "flights.enriched", "--from", "-1", "--limit", "5"],
        env=environ,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert [orjson.loads(line)["type"] for line in pulled.stdout.splitlines()] == ["flights.departure.enriched"] * 5

    listen = [*HEADRACE, "listen", "flights.enriched", "--port", str(free_port()), "--json"]
    heard = up[1] / "heard"
    with heard.open("wb") as output, subprocess.Popen(listen, env=environ, stdout=output) as listening:
        await until(lambda: b"flights.departure.enriched" in heard.read_bytes(), 60, every_s=0.2)
        listening.send_signal(signal.SIGINT)
        assert listening.wait(30) == 0


async def test_a_service_that_dies_is_started_again_and_said_so(up: Running, environ: dict[str, str]) -> None:
    process, directory = up
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    worker = next(int(pid) for pid in children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(worker, signal.SIGKILL)
    await until(lambda: b"worker ended (signal 9)" in (directory / "output").read_bytes())

    def ready() -> bool:
        url = f"http://127.0.0.1:{environ['HEADRACE_WORKER_PORT']}/readyz"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    await until(ready, 60, every_s=0.5)


async def test_a_second_start_says_what_is_in_the_way(up: Running, environ: dict[str, str]) -> None:
    second = subprocess.run(
        [*HEADRACE, "up", "--data-dir", str(up[1])], env=environ, capture_output=True, check=False, timeout=60
    )
    assert second.returncode == 1
    assert b"HEADRACE_GATEWAY_PORT" in second.stdout


async def test_ctrl_c_drains_everything_and_ends_the_broker_last(
    up: Running,
) -> None:
    process, directory = up
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    for name in ("gateway", "worker", "relay"):
        assert b'"event": "stopped"' in (directory / "logs" / f"{name}.log").read_bytes(), name
    assert "shut down completed" in (directory / "broker" / "broker.log").read_text()
