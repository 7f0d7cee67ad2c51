"""A service as a child process: started, restarted when it dies, stopped in order."""

from __future__ import annotations

import asyncio
import enum
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
STEADY_S = 60.0
"""A service that ran for this long begins with the shortest wait again when it dies."""

STOP_S = 20.0
LOG_BYTES = 20 * 2**20
TAIL_BYTES = 1500


class State(enum.Enum):
    """How a part of Headrace stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    RESTARTING = "restarting"
    FINISHED = "finished"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Service:
    """What to run: `headrace <arguments>`. `port` is where its metrics are; `metric` counts the events it handles."""

    name: str
    arguments: Sequence[str]
    port: int
    metric: str
    can_finish: bool = False


class Child:
    """Runs one service until `stop`. What happens to it is told by `say`, a line at a time."""

    def __init__(
        self, service: Service, environ: Mapping[str, str], log_file: Path, say: Callable[[str], None]
    ) -> None:
        self.service = service
        self.state = State.WAITING
        self.restarts = 0
        self.log_file = log_file
        self._environ = environ
        self._say = say
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it, and go on starting it again."""
        self._running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            began_s = time.monotonic()
            code = await self._once()
            if self._stopping.is_set():
                self.state = State.STOPPED
                return
            if code == 0 and self.service.can_finish:
                self.state = State.FINISHED
                self._say(f"{self.service.name} has finished")
                return
            if time.monotonic() - began_s > STEADY_S:
                wait_s = FIRST_WAIT_S
            self.state = State.RESTARTING
            self.restarts += 1
            self._say(
                f"{self.service.name} ended ({_cause(code)}); it starts again in {wait_s:g} s. "
                f"Its log {self.log_file} ends with:\n{self._tail()}"
            )
            if await self._stops_within(wait_s):
                self.state = State.STOPPED
                return
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _once(self) -> int:
        """Run the process to its end; its exit code."""
        self.state = State.STARTING
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "headrace",
                *self.service.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                start_new_session=True,  # a Ctrl-C at the terminal is ours: we stop our parts in order
            )
        try:
            return await self._process.wait()
        finally:
            self._process = None

    async def _stops_within(self, wait_s: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), wait_s)
        except TimeoutError:
            return False
        return True

    def _tail(self) -> str:
        text = self.log_file.read_bytes()[-TAIL_BYTES:].decode("utf-8", "replace")
        return "\n".join(f"    {line}" for line in text.splitlines()[-3:])

    async def stop(self) -> None:
        """Let it drain; end it by force when it takes more than 20 s."""
        self._stopping.set()
        if self._process is not None:
            self.state = State.STOPPING
            self._process.terminate()
        if self._running is None:
            return
        done, _ = await asyncio.wait([self._running], timeout=STOP_S)
        if not done and self._process is not None:
            self._say(f"{self.service.name} did not end within {STOP_S:g} s: it is killed")
            self._process.kill()
            await self._running


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
