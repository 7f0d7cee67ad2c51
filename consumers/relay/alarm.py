"""One call at a later time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LATE_S = 0.001
"""How much later it rings: what is due in the middle of a millisecond is due then."""


class Alarm:
    """Calls `rung` on the event loop after some time, in seconds; of several times, only at one."""

    __slots__ = ("_at_s", "_handle", "_rung")

    def __init__(self, rung: Callable[[], None]) -> None:
        self._rung = rung
        self._handle: asyncio.Handle | None = None
        self._at_s = 0.0

    def set(self, wait_s: float) -> None:
        """Ring after so long, and no more when it was to."""
        self.off()
        loop = asyncio.get_running_loop()
        # What uvloop gives for a time that has come by now is no timer, and does not know its time.
        self._at_s = loop.time() + max(wait_s, 0.0) + LATE_S
        self._handle = loop.call_at(self._at_s, self._ring)

    def bring_forward(self, wait_s: float) -> None:
        """Ring after so long, unless it does sooner."""
        if self._handle is None or asyncio.get_running_loop().time() + wait_s + LATE_S < self._at_s:
            self.set(wait_s)

    def off(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _ring(self) -> None:
        self._handle = None
        self._rung()
