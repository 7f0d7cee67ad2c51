"""One connection to an endpoint: a request is sent, its answer read, bounded in time and bytes."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Literal, cast

import httptools

KEPT_BODY_BYTES = 4096
MAX_BODY_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024


ErrorClass = Literal[
    "dns", "forbidden", "refused", "unreachable", "connect_timeout", "tls", "reset", "closed", "timeout", "protocol"
]
"""What an attempt without an answer failed of. The names are kept: they are written into the log of attempts."""


@dataclass(slots=True)
class Phases:
    """Seconds that an attempt took, by phase; 0 for a phase that was not needed or did not come to its end.

    `dns_s`, `connect_s` and `tls_s` are 0 on a connection that was kept. `connect_s` is TCP's, with all addresses that
    were tried before; `first_byte_s` is from the request to the first byte of an answer; `total_s` is all of it.
    """

    dns_s: float = 0.0
    connect_s: float = 0.0
    tls_s: float = 0.0
    first_byte_s: float = 0.0
    total_s: float = 0.0


class AttemptFailed(Exception):
    """No answer: the reason is of the network, TLS, the time, or of an answer that is not HTTP."""

    def __init__(self, reason: str, error_class: ErrorClass, phases: Phases | None = None) -> None:
        super().__init__(reason)
        self.error_class: ErrorClass = error_class
        self.phases = phases or Phases()


class ClosedWhileIdle(AttemptFailed):
    """The connection ended before the first byte of an answer."""


@dataclass(slots=True)
class Answer:
    """What an endpoint answered. `body` is its beginning, not inflated."""

    phases: Phases
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Connection(asyncio.Protocol):
    """One connection, one exchange at a time. Also the parser's callback object.

    Its maker sets `idle_since_s`, of the loop's clock.
    """

    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer = Answer(Phases())
        self._keep_bytes = 0
        self._deadline_s = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._sent_s = 0.0
        self._received_bytes = 0
        self._body_bytes = 0
        self._in_body = False
        self._keep_alive = True

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent once the answer is here."""
        return self._keep_alive and self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes, deadline_s: float, phases: Phases, keep_bytes: int) -> Answer:
        """Send a request and give its whole answer. `deadline_s` is of the loop's clock.

        Raises `TimeoutError`, `AttemptFailed`, or `ClosedWhileIdle`.
        """
        assert self._waiter is None
        if self._transport is None:
            raise ClosedWhileIdle(*_end(None, "without an answer"))
        self._answer = Answer(phases)
        self._keep_bytes = keep_bytes
        self._received_bytes = self._body_bytes = 0
        self._in_body = False
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._watch_until(deadline_s)
        self._sent_s = time.perf_counter()
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _watch_until(self, deadline_s: float) -> None:
        """Set the alarm: one that rings too early looks again, so that it need not be set for every request."""
        self._deadline_s = deadline_s
        if self._alarm is not None and self._alarm.when() > deadline_s:
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_at(deadline_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._waiter is None:
            return
        if asyncio.get_running_loop().time() < self._deadline_s:
            self._watch_until(self._deadline_s)
        else:
            self._fail(TimeoutError())

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Some of the answer."""
        if self._waiter is None:
            self._keep_alive = False  # nobody asked
            self.abort()
            return
        if not self._received_bytes:
            self._answer.phases.first_byte_s = time.perf_counter() - self._sent_s
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(AttemptFailed("the endpoint changes the protocol", "protocol"))
        except httptools.HttpParserError as error:
            self._fail(AttemptFailed(f"not an HTTP answer: {error}", "protocol"))
        if self._received_bytes > MAX_HEAD_BYTES:
            if self._in_body:
                self._cut()  # trailers and the framing of chunks count, too
            else:
                self._fail(AttemptFailed(f"more than {MAX_HEAD_BYTES} bytes of headers", "protocol"))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whichever side."""
        self._transport = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._waiter is None or self._waiter.done():
            return
        if self._received_bytes == 0:
            self._fail(ClosedWhileIdle(*_end(exc, "without an answer")))
        elif self._in_body and "content-length" not in self._answer.headers and not self._chunked():
            self._finish(keep_alive=False)  # such a body ends with its connection
        else:
            self._fail(AttemptFailed(*_end(exc, "in the middle of the answer")))

    def _chunked(self) -> bool:
        return "chunked" in self._answer.headers.get("transfer-encoding", "").lower()

    # httptools

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self._waiter is None or self._waiter.done():
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer."""
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The body follows."""
        self._answer.status = self._parser.get_status_code()
        self._in_body = self._answer.status >= 200

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._body_bytes += len(body)
        if len(self._answer.body) < self._keep_bytes:
            self._answer.body += body[: self._keep_bytes - len(self._answer.body)]
        if self._body_bytes > MAX_BODY_BYTES:
            self._cut()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._answer.status < 200:
            self._answer = Answer(self._answer.phases)  # an interim answer: the real one follows
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


def _end(error: Exception | None, when: str) -> tuple[str, ErrorClass]:
    """Why a connection ended, and the class of it."""
    if error is None:
        return f"the connection was closed {when}", "closed"
    if isinstance(error, ssl.SSLError):
        return (
            f"TLS: {error.reason or error}",
            "tls",
        )  # such as of TLS 1.3, where a server refuses us after the handshake
    return f"the connection was reset {when}", "reset"
