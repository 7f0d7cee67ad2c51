"""Services for tests: real ones, in this process, on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncIterator

from aiohttp import web_app

from headrace.http.service import Part, serving


@contextlib.asynccontextmanager
async def service(*parts: Part) -> AsyncIterator[str]:
    """Run the parts of a service; gives its URL, such as `http://127.0.0.1:43210`."""
    async with serving(parts, host="127.0.0.1", port=0, drain_s=2.0) as port:
        yield f"http://127.0.0.1:{port}"


def let_go() -> None:
    """aiohttp remembers handlers and so whole services, and a process can have no more than 1,024 Kafka clients."""
    web_app._cached_build_middleware.cache_clear()
    gc.collect()
