"""What a live connection owes its quotas for what it was sent: while it owes, it is sent no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from headrace.access.principal import Everybody


class Toll:
    """Charges one connection. `paid` is called once nothing is owed any more."""

    __slots__ = ("_paid", "_principal", "owed")

    def __init__(self, principal: Everybody, paid: Callable[[], None]) -> None:
        self._principal = principal
        self._paid = paid
        self.owed = False

    def charge(self, events: int, size_bytes: int) -> None:
        """Events passed, in so many bytes."""
        self._settle(self._principal.charge(events=events, bytes_=size_bytes))

    def _settle(self, debt_s: float) -> None:
        if debt_s > 0 and not self.owed:
            self.owed = True
            asyncio.get_running_loop().call_later(debt_s, self._look)

    def _look(self) -> None:
        self.owed = False
        # Others may have used the same quota meanwhile.
        self._settle(self._principal.charge())
        if not self.owed:
            self._paid()
