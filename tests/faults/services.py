"""Headrace's services as processes of their own: killed, frozen, and started again as a supervisor would."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
from support.waiting import until

RESTART_S = 0.5
READY_S = 60.0
STOP_S = 20.0
LOG_TAIL_BYTES = 6000


class Service:
    """`headrace <arguments>`. While it is kept, it is started again half a second after it ends with an error."""

    def __init__(
        self, name: str, arguments: Sequence[str], port: int, environ: Mapping[str, str], log_file: Path
    ) -> None:
        self.name = name
        self.port = port
        self.codes: list[int] = []
        self._arguments = arguments
        self._environ = environ
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None
        self._kept = True
        self._running: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def crashes(self) -> list[int]:
        """Exit codes of those of its processes that ended with an error of their own."""
        return [code for code in self.codes if code not in (0, -signal.SIGKILL)]

    def start(self) -> None:
        """Start it. Does not wait."""
        self._kept = True
        self._running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            with self._log_file.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "headrace",
                    *self._arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environ,
                )
            self.codes.append(await self._process.wait())
            if not self._kept or self.codes[-1] == 0:
                return
            await asyncio.sleep(RESTART_S)

    async def ready(self, timeout_s: float = READY_S) -> None:
        """Wait until `/readyz` says yes."""
        try:
            await until(self._is_ready, timeout_s, every_s=0.1)
        except AssertionError:
            raise AssertionError(f"{self.name} was not ready within {timeout_s:g} s") from None

    async def _is_ready(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=2)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with aiohttp.request("GET", f"{self.url}/readyz", timeout=timeout) as answer:
                return answer.status == 200
        return False

    async def kill(self, *, keep: bool = True) -> float:
        """Kill -9; gives the moment, by the monotonic clock. Without `keep` it is not started again."""
        self._kept = keep
        ended = len(self.codes)
        self.send(signal.SIGKILL)
        at_s = time.monotonic()
        await until(lambda: len(self.codes) > ended, 10)
        return at_s

    def send(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP and SIGCONT."""
        assert self._process is not None, f"{self.name} was not started"
        assert self._process.returncode is None, f"{self.name} has ended with code {self._process.returncode}"
        self._process.send_signal(number)

    async def finished(self, timeout_s: float) -> None:
        """Wait until it ends by itself with code 0, however often it has to be started for that."""
        assert self._running is not None
        done, _ = await asyncio.wait([self._running], timeout=timeout_s)
        assert done, f"{self.name} had not finished after {timeout_s:g} s"

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where it takes longer than it may."""
        self._kept = False
        if self._running is None:
            return
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        done, _ = await asyncio.wait([self._running], timeout=STOP_S)
        if not done and self._process is not None:
            self._process.kill()
            await self._running
            raise AssertionError(f"{self.name} did not end within {STOP_S:g} s of SIGTERM")
        self._running = None

    def told(self) -> str:
        """The end of its log."""
        text = self._log_file.read_bytes()[-LOG_TAIL_BYTES:] if self._log_file.exists() else b""
        return f"--- {self.name}, exit codes {self.codes}, {self._log_file} ends with:\n{text.decode(errors='replace')}"


def steady_port() -> int:
    """A free port below those that outgoing connections get: none can take it while its service is down."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
