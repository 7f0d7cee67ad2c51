"""A connection that only receives: the protocol that takes a socket over from aiohttp once the answer has begun.

A follower costs no task: it is this object and its transport. (Measured: 1.4 KB against aiohttp's 12.4 KB.)
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable
from typing import cast

from aiohttp import web

from headrace.access.principal import Everybody
from headrace.consumers.core.position import Position
from headrace.consumers.read_request import Slow
from headrace.consumers.toll import Toll


class Ending(enum.Enum):
    """Why the service closes a follower, for formats in which that can be told."""

    RESUME = "the planned end of a long connection"
    GOING_AWAY = "the process stops"
    GONE = "the position, or the topic, is no more"
    KAFKA_AWAY = "Kafka does not answer"
    CLOSED = "the stream was closed, and its last message was sent"
    FAILED = "an error of ours"
    UNAUTHORIZED = "the credential was revoked or has expired"


class Follower(asyncio.Protocol):
    """Writes what it is given. `full` is set while the client takes less than it is sent.

    `is_behind` is set from then on until it stands at the front again.
    """

    __slots__ = (
        "_socket_full",
        "_toll",
        "closes_at_s",
        "full",
        "full_since_s",
        "is_behind",
        "on_change",
        "on_close",
        "position",
        "since_s",
        "slow",
        "transport",
    )

    def __init__(self, position: Position, closes_at_s: float, slow: Slow | None = None) -> None:
        self.position = position
        self.closes_at_s = closes_at_s
        self.slow = slow
        self.since_s = time.time()
        self.full_since_s = 0.0
        self.full = self.is_behind = self._socket_full = False
        self._toll: Toll | None = None
        self.transport: asyncio.Transport | None = None
        self.on_change: Callable[[Follower], None] | None = None
        self.on_close: Callable[[], None] | None = None

    def take_over(self, request: web.Request, head: bytes) -> None:
        """Answer with `head` and take the connection from aiohttp, whose handler ends here."""
        protocol, transport = request.protocol, cast("asyncio.Transport", request.transport)
        transport.write(head)
        transport.set_protocol(self)
        self.transport = transport
        # aiohttp must let go without closing: it shall believe that the connection is lost.
        protocol.transport = None
        protocol.connection_lost(None)

    @property
    def open(self) -> bool:
        """False once the client is gone."""
        return self.transport is not None and not self.transport.is_closing()

    def meter(self, principal: Everybody) -> None:
        """Charge whoever opened the connection for what it is sent, where there are quotas."""
        if principal.metered:
            self._toll = Toll(principal, self._weigh)

    def write(self, chunk: bytes, position: Position) -> None:
        """Send a chunk, after which the client stands at `position`. Events are counted by how far that moves."""
        if self.transport is not None:
            self.transport.write(chunk)
            before, self.position = self.position, position
            if self._toll is not None:
                self.charge(max(0, sum(position) - sum(before)), len(chunk))

    def charge(self, events: int, size_bytes: int) -> None:
        """Charge for events that passed, in so many bytes: while something is owed, it is as if it were full."""
        if self._toll is not None:
            self._toll.charge(events, size_bytes)
            self._weigh()

    def end(self, why: Ending) -> None:
        """Close once what was written is sent."""
        if self.transport is not None:
            self.transport.close()

    def cut(self, why: Ending) -> None:
        """Close; at once where the client might never take what was written."""
        if self.full:
            self.abort()
        else:
            self.end(why)

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """A follower says nothing; what it sends is not read."""

    def pause_writing(self) -> None:
        """The socket's buffer is full: stop feeding it; it goes on from its position later."""
        self._socket_full = True
        self._weigh()

    def resume_writing(self) -> None:
        """The client took what was sent."""
        self._socket_full = False
        self._weigh()

    def _weigh(self) -> None:
        full = self._socket_full or (self._toll is not None and self._toll.owed)
        if full != self.full:
            self.full = full
            if full:
                self.is_behind = True
                self.full_since_s = time.time()
            self._changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.transport = None
        self._changed()
        if self.on_close is not None:
            self.on_close()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change(self)
