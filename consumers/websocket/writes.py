"""What a service that also writes does with what clients publish over WebSocket."""

from __future__ import annotations

from typing import Any, Protocol

from headrace.access.principal import Everybody
from headrace.access.scopes import Action


class Writes(Protocol):
    """Writes to feeds and streams. Both raise `Problem` where nothing was written, `QueueFull`, `KafkaUnavailable`."""

    async def publish(self, feed: str, events: list[Any]) -> list[dict[str, Any]]:
        """Write CloudEvents to a feed of a file; what became of each, as POST would answer."""
        ...

    async def append(self, stream: str, messages: list[Any]) -> str:
        """Append JSON values to a stream, all or none; the offset token after them."""
        ...


class AllowedWrites:
    """Those that a principal may make: a socket leads to other feeds than the one of its URL."""

    def __init__(self, writes: Writes, principal: Everybody) -> None:
        self._writes = writes
        self._principal = principal

    async def publish(self, feed: str, events: list[Any]) -> list[dict[str, Any]]:
        """As `Writes` does; raises `Problem` 403."""
        self._principal.require(Action.PUBLISH, feed)
        return await self._writes.publish(feed, events)

    async def append(self, stream: str, messages: list[Any]) -> str:
        """As `Writes` does; raises `Problem` 403."""
        self._principal.require(Action.PUBLISH, stream)
        return await self._writes.append(stream, messages)
