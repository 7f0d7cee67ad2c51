"""An HTTP/1.1 client for webhooks: one request at a time on each of a pool of connections, under one deadline.

Our own because a general client's bookkeeping is what limits a relay: see `tests/benchmarks`.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Mapping
from typing import Literal

from headrace.consumers.relay.connection import (
    KEPT_BODY_BYTES,
    Answer,
    AttemptFailed,
    ClosedWhileIdle,
    Connection,
    Phases,
)
from headrace.consumers.relay.dialler import Dialler
from headrace.consumers.relay.guard import Guard
from headrace.consumers.relay.resolver import Unresolved
from headrace.consumers.relay.target import Target
from headrace.consumers.relay.tls import context_of

IDLE_S = 30.0
"""How long an unused connection is kept. Many servers close theirs after 60 s or more."""
MAX_IDLE = 10_000
"""Unused connections that are kept, to all endpoints, at some 4 KB each, 20 KB with TLS; and no more than half of the
files that the process may have open."""

Method = Literal["POST", "OPTIONS"]


class HttpClient:
    """Asks many endpoints. Connections are kept by origin and TLS identity and closed after 30 s without use.

    `timeout_s` is for a whole attempt, and of it `connect_timeout_s` for TCP and TLS. No proxy is ever asked, whatever
    the environment says. Without a `guard` of its own it goes to public addresses only.
    """

    def __init__(self, timeout_s: float, *, connect_timeout_s: float = 5.0, guard: Guard | None = None) -> None:
        self.timeout_s = timeout_s
        self._dialler = Dialler(guard or Guard(), connect_timeout_s)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._max_kept = sys.maxsize if files == resource.RLIM_INFINITY else files // 2
        self._idle: dict[str, list[Connection]] = {}
        self._kept: dict[Connection, str] = {}  # those of all pools, the one that is idle for longest first

    async def vet(self, target: Target) -> None:
        """Whether an endpoint may be registered: raises ValueError with a reason to show where it may not.

        `Forbidden` is the guard's, `Unresolved` of a name without an address, any other of the TLS identity. Takes
        `timeout_s` at most. What it finds counts for nothing later: every connection is vetted again.
        """
        if target.identity is not None:
            context_of(target.identity)
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._dialler.vet(target)
        except TimeoutError:
            raise Unresolved(f"{target.host} could not be looked up within {self.timeout_s:g} s") from None

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST and return the answer: `request` with the method that webhooks use."""
        return await self.request("POST", target, headers, body)

    async def request(
        self,
        method: Method,
        target: Target,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None = None,
        keep_bytes: int = KEPT_BODY_BYTES,
    ) -> Answer:
        """Send a request and return the answer, whatever its status; redirects are not followed.

        Of the answer's body `keep_bytes` are kept, 16 KB at most. One deadline covers connecting, sending and the whole
        answer: after `timeout_s` where it is given, the client's own else. Raises `AttemptFailed`, and ValueError for
        headers that can't be sent.
        """
        began_s = time.perf_counter()
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        phases = Phases()
        request = _encode(method, target, headers, body)
        try:
            if (connection := self._take(target)) is not None:
                try:
                    return await self._exchange(target, connection, request, deadline_s, phases, keep_bytes)
                except ClosedWhileIdle:
                    pass  # given up by the server, most likely before it saw our request: once more, on a new one
            connection = await self._dialler.open(target, deadline_s, phases)
            return await self._exchange(target, connection, request, deadline_s, phases, keep_bytes)
        except AttemptFailed as error:
            error.phases = phases
            raise
        except TimeoutError:
            raise AttemptFailed(f"no whole answer within {timeout_s:.3g} s", "timeout", phases) from None
        finally:
            phases.total_s = time.perf_counter() - began_s

    async def _exchange(
        self,
        target: Target,
        connection: Connection,
        request: bytes,
        deadline_s: float,
        phases: Phases,
        keep_bytes: int,
    ) -> Answer:
        try:
            answer = await connection.send(request, deadline_s, phases, keep_bytes)
        except BaseException:
            connection.abort()
            raise
        if connection.reusable:
            self._keep(target.origin, connection)
        else:
            connection.abort()
        return answer

    def _keep(self, origin: str, connection: Connection) -> None:
        connection.idle_since_s = asyncio.get_running_loop().time()
        self._idle.setdefault(origin, []).append(connection)
        self._kept[connection] = origin
        if len(self._kept) > min(MAX_IDLE, self._max_kept):
            self._drop(next(iter(self._kept)))

    def _take(self, target: Target) -> Connection | None:
        pool = self._idle.get(target.origin)
        now = asyncio.get_running_loop().time()
        while pool:
            # The one used last is the least likely to have been closed by the server.
            connection = pool.pop()
            del self._kept[connection]
            if connection.reusable and now - connection.idle_since_s < IDLE_S:
                return connection
            connection.abort()
        return None

    def sweep(self) -> None:
        """Close connections that were not used for a while; call it now and then."""
        oldest_s = asyncio.get_running_loop().time() - IDLE_S
        for connection in list(self._kept):
            if not connection.reusable or connection.idle_since_s < oldest_s:
                self._drop(connection)
        self._idle = {origin: pool for origin, pool in self._idle.items() if pool}

    def _drop(self, connection: Connection) -> None:
        self._idle[self._kept.pop(connection)].remove(connection)
        connection.abort()

    def close(self) -> None:
        """Close all idle connections."""
        self._dialler.close()
        for connection in self._kept:
            connection.abort()
        self._idle.clear()
        self._kept.clear()


def _encode(method: Method, target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
        raise ValueError("a header must not hold a line break")
    return f"{method}{target.head}{len(body)}\r\n{fields}\r\n".encode("latin-1") + body
