"""Names to addresses."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

LOOKUPS = 32
"""Names that may be looked up at a time. The event loop has 4 threads for it, which a few dead names would hold."""


class Unresolved(ValueError):
    """A name has no address, or nobody says which."""


class Resolver:
    """Asks the system for the addresses of names. Nothing is kept: a name is asked for again for every connection."""

    def __init__(self) -> None:
        self._lookups: dict[str, asyncio.Future[list[str]]] = {}
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="dns")

    async def addresses(self, host: str) -> list[str]:
        """The addresses of a name, at least one; who asks at the same time shares a look-up. Raises `Unresolved`."""
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host)
            self._lookups[host] = lookup
            lookup.add_done_callback(lambda done: self._looked_up(host, done))
        try:
            found = await asyncio.shield(lookup)
        except OSError as error:
            raise Unresolved(f"{host} could not be looked up: {error.strerror}") from None
        if not found:
            raise Unresolved(f"{host} has no address")
        return found

    def _looked_up(self, host: str, lookup: asyncio.Future[list[str]]) -> None:
        del self._lookups[host]
        if not lookup.cancelled():
            lookup.exception()  # seen, even where nobody waits for it any more

    def close(self) -> None:
        """Begin no look-up any more. Does not wait."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
