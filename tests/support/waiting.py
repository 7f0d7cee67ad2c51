"""Waiting for a condition with a deadline, instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def until(condition: Callable[[], Awaitable[T | None]], timeout_s: float = ..., *, every_s: float = ...) -> T: ...


@overload
async def until(condition: Callable[[], T | None], timeout_s: float = ..., *, every_s: float = ...) -> T: ...


async def until(
    condition: Callable[[], T | Awaitable[T | None] | None], timeout_s: float = 30.0, *, every_s: float = 0.02
) -> T:
    """The first true answer of `condition`, plain or awaited; raises AssertionError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        value: T | None = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}"
        await asyncio.sleep(every_s)
