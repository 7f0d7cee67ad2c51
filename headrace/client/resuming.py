"""One live connection after another, each from where the one before had come to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable

from headrace.client.page import Page
from headrace.client.patience import Patience, backoff_s
from headrace.client.problems import Unavailable

AT_ONCE_S = 0.1
"""A connection that was over sooner was none: the gateway is about to stop. Connecting on at full speed hinders it."""

Connect = Callable[[str], AsyncGenerator[Page, None]]
"""The pages of one connection from an offset on, to its end; also those without events that tell the position."""


async def resumed(connect: Connect, offset: str, patience: Patience) -> AsyncGenerator[Page, None]:
    """Pages in order, each once, without end; those without events only where the position moved."""
    idle = 0
    while True:
        began_s = time.monotonic()
        try:
            async with contextlib.aclosing(connect(offset)) as pages:
                async for page in pages:
                    patience.answered()
                    if page.next_offset != offset:
                        offset = page.next_offset
                        yield page
        except Unavailable as error:
            await patience.bear(error)
            continue
        idle = idle + 1 if time.monotonic() - began_s < AT_ONCE_S else 0
        if idle:
            await asyncio.sleep(backoff_s(idle - 1))
