from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass

from integration.client.conftest import feeds, gateway, new_feed, relay

__all__ = ["feeds", "gateway", "new_feed", "relay"]

ENDS_S = 40.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: bytes
    err: str


def environment(url: str, **more: str) -> dict[str, str]:
    return {**os.environ, "HEADRACE_URL": url, "PYTHONUNBUFFERED": "", "COLUMNS": "200", **more}


async def headrace(url: str, *arguments: str, **more: str) -> Done:
    """Run a command to its end, against a gateway, with more variables in its environment. Nobody can be asked."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace",
        *arguments,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(url, **more),
    )
    return await ended(process)


async def ended(process: Process) -> Done:
    try:
        out, err = await asyncio.wait_for(process.communicate(), ENDS_S)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Done(process.returncode, out, err.decode())


@contextlib.asynccontextmanager
async def running(url: str, *arguments: str) -> AsyncIterator[Process]:
    """A command that runs on until it is told to end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace",
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(url),
        limit=2**20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line(stream: asyncio.StreamReader | None) -> str:
    """The next line that a command prints."""
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), ENDS_S)).decode().rstrip("\n")


async def stop(process: Process, number: signal.Signals = signal.SIGINT) -> Done:
    process.send_signal(number)
    return await ended(process)
