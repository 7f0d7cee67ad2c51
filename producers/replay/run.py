"""A replay as a process: it serves its metrics while it works, ends when all is done, and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable

import uvloop

from headrace import logs
from headrace.access.parts import access_parts
from headrace.http.service import serving
from headrace.producers.replay.replay import Replay, Standing
from headrace.settings import SourceSettings


def run_replay(settings: SourceSettings, make: Callable[[], Replay]) -> list[Standing]:
    """Replay until all is done, or SIGTERM or SIGINT comes. Blocks.

    `make` is called on the event loop. Gives the standing of each job that was begun. Raises what `Replay` raises, and
    `OSError` where the port is taken.
    """
    logs.configure(settings.log_level, settings.log_format)
    # What is loaded by now stays: looking through it again and again costs a tenth of the throughput.
    gc.freeze()
    return uvloop.run(_run(settings, make))


async def _run(settings: SourceSettings, make: Callable[[], Replay]) -> list[Standing]:
    replay = make()
    begun = False

    async def work() -> list[Standing]:
        nonlocal begun
        async with serving(
            [*access_parts(settings), replay], host=settings.host, port=settings.port, drain_s=settings.drain_s
        ):
            begun = True
            return await replay.run()

    task = asyncio.ensure_future(work())

    def on_signal() -> None:
        replay.stop()
        if not begun:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    try:
        return await task
    except asyncio.CancelledError:
        return []
