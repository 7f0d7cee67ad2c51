"""A follower that is charged for what it is sent: while it owes, it is fed no more, as if its socket were full."""

from __future__ import annotations

import asyncio
import time

from headrace.access.principal import Everybody
from headrace.consumers.core.position import Position
from headrace.consumers.follower import Follower
from headrace.consumers.read_request import Slow


class MeteredFollower(Follower):
    """Goes on from its position once nothing is owed. Events are counted by how far the position moves."""

    __slots__ = ("_in_debt", "_principal", "_socket_full")

    def __init__(self, position: Position, closes_at_s: float, principal: Everybody, slow: Slow | None = None) -> None:
        super().__init__(position, closes_at_s, slow)
        self._principal = principal
        self._in_debt = self._socket_full = False

    def write(self, chunk: bytes, position: Position) -> None:
        """Send a chunk, after which the client stands at `position`, and charge for it."""
        before = sum(self.position)
        super().write(chunk, position)
        debt_s = self._principal.charge(events=max(0, sum(position) - before), bytes_=len(chunk))
        if debt_s > 0 and not self._in_debt and self.transport is not None:
            self._in_debt = True
            asyncio.get_running_loop().call_later(debt_s, self._paid)
            self._weigh()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._socket_full = True
        self._weigh()

    def resume_writing(self) -> None:
        """The client took what was sent."""
        self._socket_full = False
        self._weigh()

    def _paid(self) -> None:
        # Others may have used the same quota meanwhile.
        debt_s = self._principal.charge()
        if debt_s > 0 and self.transport is not None:
            asyncio.get_running_loop().call_later(debt_s, self._paid)
            return
        self._in_debt = False
        self._weigh()

    def _weigh(self) -> None:
        full = self._in_debt or self._socket_full
        if full != self.full:
            self.full = full
            if full:
                self.is_behind = True
                self.full_since_s = time.time()
            self._changed()
