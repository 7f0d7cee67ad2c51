"""An HTTP/1.1 client for webhooks: one POST at a time on each of a pool of connections, bounded in time and bytes.

Our own because a general client's bookkeeping is what limits a relay: see `tests/benchmarks`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

KEPT_BODY_BYTES = 4096
MAX_BODY_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
IDLE_S = 30.0
"""How long an unused connection is kept. Many servers close theirs after 60 s or more."""

LOOKUPS = 32
"""Names that may be looked up at a time. The event loop has 4 threads for it, which a few dead names would hold."""

MAX_HOST_NAME = 253
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class AttemptFailed(Exception):
    """No answer: the reason is of the network, TLS, the time, or of an answer that is not HTTP."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points."""

    host: str
    port: int
    tls: bool
    path: str
    authority: str

    @classmethod
    def of(cls, url: str) -> Target:
        """The target of an http or https URL; raises ValueError with what is wrong."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("the URL must begin with http:// or https://")
        if not parts.hostname:
            raise ValueError("the URL has no host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the URL must not hold a user name or password")
        if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
            raise ValueError("the URL must be ASCII without spaces: percent-encode the rest")
        if not _is_address(parts.hostname) and not _is_name(parts.hostname):
            raise ValueError("the host is neither a name nor an address (write an international name as xn--...)")
        if parts.port == 0:
            raise ValueError("the port must be from 1 to 65535")
        tls = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = parts.netloc
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, path, authority)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return len(host) <= MAX_HOST_NAME and all(LABEL.fullmatch(label) for label in labels)


@dataclass(slots=True)
class Answer:
    """What an endpoint answered. `body` is at most its first 4 KB, not inflated."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class HttpClient:
    """Posts to many endpoints. Connections are kept by origin and closed after 30 s without use."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._idle: dict[tuple[str, int, bool], list[_Connection]] = {}
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
                except _ClosedWhileIdle:
                    pass  # given up by the server, most likely before it saw our request: once more, on a new one
            async with asyncio.timeout_at(deadline_s):
                connection = await self._connect(target)
            return await self._exchange(target, connection, request, deadline_s)
        except TimeoutError:
            raise AttemptFailed(f"no whole answer within {self.timeout_s:g} s") from None
        except _ClosedWhileIdle:
            raise AttemptFailed("the connection was closed without an answer") from None
        except (OSError, ssl.SSLError) as error:
            raise AttemptFailed(f"{type(error).__name__}: {error}") from None

    async def _exchange(self, target: Target, connection: _Connection, request: bytes, deadline_s: float) -> Answer:
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

    def _take(self, target: Target) -> _Connection | None:
        pool = self._idle.get((target.host, target.port, target.tls))
        now = asyncio.get_running_loop().time()
        while pool:
            # The one used last is the least likely to have been closed by the server.
            connection = pool.pop()
            if connection.reusable and now - connection.idle_since_s < IDLE_S:
                return connection
            connection.abort()
        return None

    async def _connect(self, target: Target) -> _Connection:
        refused: OSError | None = None
        for address in await self._addresses(target.host):
            try:
                _, protocol = await asyncio.get_running_loop().create_connection(
                    _Connection,
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
        if _is_address(host):
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


class _ClosedWhileIdle(Exception):
    """The connection ended before the first byte of an answer."""


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time. Also the parser's callback object."""

    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._received_bytes = 0
        self._body_bytes = 0
        self._in_body = False
        self._keep_alive = True

    @property
    def reusable(self) -> bool:
        return self._keep_alive and self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes, deadline_s: float) -> Answer:
        assert self._waiter is None
        if self._transport is None:
            raise _ClosedWhileIdle
        self._answer = Answer()
        self._received_bytes = self._body_bytes = 0
        self._in_body = False
        self._parser = httptools.HttpResponseParser(self)
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        # Cheaper than asyncio.timeout, and all requests pass here.
        alarm = loop.call_at(deadline_s, self._fail, TimeoutError())
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            alarm.cancel()
            self._waiter = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._parser is None:
            self._keep_alive = False  # nobody asked
            self.abort()
            return
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(AttemptFailed("the endpoint changes the protocol"))
        except httptools.HttpParserError as error:
            self._fail(AttemptFailed(f"not an HTTP answer: {error}"))
        if self._received_bytes > MAX_HEAD_BYTES:
            if self._in_body:
                self._cut()  # trailers and the framing of chunks count, too
            else:
                self._fail(AttemptFailed(f"more than {MAX_HEAD_BYTES} bytes of headers"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiter is None or self._waiter.done():
            return
        if self._received_bytes == 0:
            self._fail(_ClosedWhileIdle())
        elif self._in_body and "content-length" not in self._answer.headers and not self._chunked():
            self._finish(keep_alive=False)  # such a body ends with its connection
        else:
            self._fail(AttemptFailed("the connection was closed in the middle of the answer"))

    def _chunked(self) -> bool:
        return "chunked" in self._answer.headers.get("transfer-encoding", "").lower()

    # httptools

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._answer.status = self._parser.get_status_code()
        self._in_body = self._answer.status >= 200

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if len(self._answer.body) < KEPT_BODY_BYTES:
            self._answer.body += body[: KEPT_BODY_BYTES - len(self._answer.body)]
        if self._body_bytes > MAX_BODY_BYTES:
            self._cut()

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self._answer.status < 200:
            self._answer = Answer()  # an interim answer: the real one follows
        else:
            self._finish(keep_alive=self._parser.should_keep_alive())

    def _cut(self) -> None:
        """The status is known; nobody needs the rest."""
        self._finish(keep_alive=False)
        self.abort()

    def _finish(self, *, keep_alive: bool) -> None:
        self._keep_alive = keep_alive
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._answer)

    def _fail(self, error: Exception) -> None:
        self._keep_alive = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def _encode(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = f"POST {target.path} HTTP/1.1\r\nhost: {target.authority}\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
    return head.encode("latin-1") + body
