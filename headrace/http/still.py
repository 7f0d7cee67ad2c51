"""A part that only stands before the handlers of others, and has nothing of its own to run."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web


class Still:
    """What a part must have where there is nothing to do."""

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """None."""
        return ()

    async def start(self) -> None:
        """Nothing to connect to."""

    def trouble(self) -> str | None:
        """Never any."""
        return None

    async def drain(self) -> None:
        """Nothing here lives long."""

    async def close(self) -> None:
        """Nothing is held."""
