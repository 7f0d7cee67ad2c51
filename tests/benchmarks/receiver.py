"""An endpoint that costs little: notes which events came and how old they were, and answers 204."""

from __future__ import annotations

import asyncio
import time
from typing import cast

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver:
    """Answers on every address of the loopback interface, so that each of thousands of endpoints has its own.

    `seen` has the event numbers that came; of those that have `sent_s`, `ages_ms` how long after it each did, and
    `arrived_s` when, in seconds since 1970.
    While it is `troubled`, the `slow` hosts answer after `slow_s` and the `silent` never; of both nothing is noted.
    """

    def __init__(self, slow: frozenset[str] = frozenset(), silent: frozenset[str] = frozenset(), slow_s: float = 10):
        self.slow, self.silent, self.slow_s = slow, silent, slow_s
        self.troubled = False
        self.seen: set[int] = set()
        self.ages_ms: list[float] = []
        self.arrived_s: dict[int, float] = {}
        self.transports: set[asyncio.Transport] = set()
        self.requests = 0
        self.first_s = self.last_s = 0.0

    async def start(self, port: int = 0) -> int:
        """Listen; gives the port."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Exchange(self),
            "0.0.0.0",
            port,
            backlog=4096,
        )
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def stop(self) -> None:
        """Refuse connections, and close those that are open."""
        self._server.close()
        for transport in list(self.transports):
            transport.abort()

    def reset(self) -> None:
        """Forget what came."""
        self.seen.clear()
        self.ages_ms.clear()
        self.arrived_s.clear()
        self.requests = 0
        self.first_s = self.last_s = 0.0

    @property
    def per_s(self) -> float:
        """Requests a second, from the first to the last."""
        return self.requests / (self.last_s - self.first_s)

    def percentile_ms(self, share: float) -> float:
        """The age that `share` of the events did not exceed."""
        return sorted(self.ages_ms)[int(share * (len(self.ages_ms) - 1))]

    def take(self, body: bytes) -> None:
        """Note a request."""
        now = time.time()
        self.requests += 1
        self.first_s = self.first_s or now
        self.last_s = now
        if (number := _member(body, b'"number":')) is not None:
            self.seen.add(int(number))
        if (sent_s := _member(body, b'"sent_s":')) is not None:
            self.ages_ms.append(1000 * (now - float(sent_s)))
            self.arrived_s[int(number or 0)] = now


def _member(body: bytes, name: bytes) -> bytes | None:
    """A number in JSON that is not the last of its object."""
    at = body.find(name)
    return None if at < 0 else body[at + len(name) : body.index(b",", at)]


class _Exchange(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._receiver.transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            at = head.index(b"content-length:") + 15
            size = int(head[at:].split(b"\r\n", 1)[0])
            if len(self._data) < end + 4 + size:
                return
            body, self._data = self._data[end + 4 : end + 4 + size], self._data[end + 4 + size :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        receiver = self._receiver
        if receiver.slow or receiver.silent:
            at = head.index(b"host: ") + 6
            host = head[at : head.index(b":", at)].decode()
            if host in receiver.silent or host in receiver.slow:
                self._trouble(slow=host in receiver.slow)
                return
        receiver.take(body)
        self._transport.write(ANSWER)

    def _trouble(self, *, slow: bool) -> None:
        if not self._receiver.troubled:
            self._transport.write(ANSWER)
        elif slow:
            asyncio.get_running_loop().call_later(self._receiver.slow_s, self._transport.write, ANSWER)
