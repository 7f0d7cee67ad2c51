"""The calls under way about one that runs here: they wait for changes, and its end waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Stopped(Exception):
    """It runs here no more: its next runner, here or elsewhere, is to be asked."""


class UnderWay:
    """Invariant: a call that `end` did not wait for fails with `Stopped`, as a next owner may not see what it wrote."""

    def __init__(self) -> None:
        self.count = 0
        self.ended = False
        self.last_s = asyncio.get_running_loop().time()
        self._abandoned = False
        self._changed: asyncio.Future[None] | None = None

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """A call; raises `Stopped` where it comes too late."""
        if self.ended:
            raise Stopped
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            self.last_s = asyncio.get_running_loop().time()
            if self.ended:
                self.wake()
        if self._abandoned:
            raise Stopped

    def wake(self) -> None:
        """Something has changed for those that wait."""
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None

    async def change(self, timeout_s: float) -> None:
        """Wait for a change, for so long at most."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._changed}, timeout=timeout_s)

    def begin_to_end(self) -> None:
        """Take no more calls, and wake those that wait."""
        self.ended = True
        self.wake()

    async def end(self, timeout_s: float) -> None:
        """Wait for the calls under way; those that take longer are given up."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self.count and (left_s := deadline_s - loop.time()) > 0:
            await self.change(left_s)
        self._abandoned = self.count > 0
