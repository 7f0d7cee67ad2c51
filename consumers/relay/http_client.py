"""An HTTP/1.1 client for webhooks: one POST at a time on each of a pool of connections, under one deadline.

Our own because a general client's bookkeeping is what limits a relay: see `tests/benchmarks`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from headrace.consumers.relay.connection import Answer, AttemptFailed, ClosedWhileIdle, Connection
from headrace.consumers.relay.target import Target, is_address

IDLE_S = 30.0
"""How long an unused connection is kept. Many servers close theirs after 60 s or more."""

LOOKUPS = 32
"""Names that may be looked up at a time. The event loop has 4 threads for it, which a few dead names would hold."""


class HttpClient:
    """Posts to many endpoints. Connections are kept by origin and closed after 30 s without use."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._idle: dict[tuple[str, int, bool], list[Connection]] = {}
        self._tls = ssl.create_default_context()
        self._lookups: dict[str, asyncio.Future[list[str]]] = {}
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="dns")

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST and return the answer, whatever its status; redirects are not followed.

        One deadline covers connecting, sending and the whole answer. Raises `AttemptFailed`.
        """
        request = _encode(target, headers, body)
        deadline_s = asyncio.get_running_loop().time() + self.timeout_s
        try:
            if (connection := self._take(target)) is not None:
                try:
                    return await self._exchange(target, connection, request, deadline_s)
                except ClosedWhileIdle:
                    pass  # given up by the server, most likely before it saw our request: once more, on a new one
            async with asyncio.timeout_at(deadline_s):
                connection = await self._connect(target)
            return await self._exchange(target, connection, request, deadline_s)
        except TimeoutError:
            raise AttemptFailed(f"no whole answer within {self.timeout_s:g} s") from None
        except ClosedWhileIdle:
            raise AttemptFailed("the connection was closed without an answer") from None
        except (OSError, ssl.SSLError) as error:
            raise AttemptFailed(f"{type(error).__name__}: {error}") from None

    async def _exchange(self, target: Target, connection: Connection, request: bytes, deadline_s: float) -> Answer:
        try:
            answer = await connection.send(request, deadline_s)
        except BaseException:
            connection.abort()
            raise
        if connection.reusable:
            connection.idle_since_s = asyncio.get_running_loop().time()
            self._idle.setdefault((target.host, target.port, target.tls), []).append(connection)
        else:
            connection.abort()
        return answer

    def _take(self, target: Target) -> Connection | None:
        pool = self._idle.get((target.host, target.port, target.tls))
        now = asyncio.get_running_loop().time()
        while pool:
            # The one used last is the least likely to have been closed by the server.
            connection = pool.pop()
            if connection.reusable and now - connection.idle_since_s < IDLE_S:
                return connection
            connection.abort()
        return None

    async def _connect(self, target: Target) -> Connection:
        refused: OSError | None = None
        for address in await self._addresses(target.host):
            try:
                _, protocol = await asyncio.get_running_loop().create_connection(
                    Connection,
                    address,
                    target.port,
                    ssl=self._tls if target.tls else None,
                    server_hostname=target.host if target.tls else None,
                )
            except OSError as error:
                refused = refused or error
            else:
                return protocol
        raise refused or OSError("the name has no address")

    async def _addresses(self, host: str) -> list[str]:
        """The addresses of a host; connections that are opened at the same time share one look-up."""
        if is_address(host):
            return [host]
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host)
            self._lookups[host] = lookup
            lookup.add_done_callback(lambda done: self._looked_up(host, done))
        return await asyncio.shield(lookup)

    def _looked_up(self, host: str, lookup: asyncio.Future[list[str]]) -> None:
        del self._lookups[host]
        if not lookup.cancelled():
            lookup.exception()  # seen, even where nobody waits for it any more

    def sweep(self) -> None:
        """Close connections that were not used for a while; call it now and then."""
        oldest_s = asyncio.get_running_loop().time() - IDLE_S
        for origin, pool in list(self._idle.items()):
            kept = [c for c in pool if c.reusable and c.idle_since_s >= oldest_s]
            for connection in set(pool) - set(kept):
                connection.abort()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]

    def close(self) -> None:
        """Close all idle connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for pool in self._idle.values():
            for connection in pool:
                connection.abort()
        self._idle.clear()


def _look_up(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _encode(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = f"POST {target.path} HTTP/1.1\r\nhost: {target.authority}\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
    return head.encode("latin-1") + body
