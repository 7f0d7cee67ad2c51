"""One request and its answer, asked again while the gateway is away: the only place of the client that knows HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from headrace import __version__
from headrace.client.patience import Patience
from headrace.client.problems import NotFound, Unavailable, Unreachable, error_of

CONNECT_S = 5.0
ANSWER_S = 30.0
"""Longest silence of a gateway that was asked something; a long poll has its own."""
CLOSE_S = 1.0
MAX_MESSAGE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `path` is percent-encoded. `not_found` is the error that a 404 stands for."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    silence_s: float = ANSWER_S
    not_found: type[NotFound] = NotFound


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer with a status below 400. Names of headers are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Asks one gateway. `patience_s`: how long it is asked again, at least, when it is away. `key` is shown to it."""

    def __init__(self, url: str, patience_s: float, key: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not the URL of a gateway, such as http://127.0.0.1:8080")
        self.url = url.rstrip("/")
        self.patience_s = patience_s
        self._headers = {"User-Agent": f"headrace-client/{__version__}"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(
        self, request: Request, *, patience_s: float | None = None, again_after: type[Unavailable] = Unavailable
    ) -> Answer:
        """The answer; while the gateway is away the same is asked again, with jittered backoff.

        Raises the errors of `problems`; `Unavailable` when `patience_s` (the client's own where None) is over.
        `again_after` `Unreachable` is for what must not be done twice: it is asked again only if nothing was sent.
        """
        patience = self.patience(patience_s)
        while True:
            try:
                async with self.open(request) as answer:
                    body = await answer.read()
            except again_after as error:
                await patience.bear(error)
            else:
                patience.answered()
                return Answer(answer.status, answer.headers, body)

    def patience(self, patience_s: float | None) -> Patience:
        """The patience of one call; the client's own where None."""
        return Patience(self.url, self.patience_s if patience_s is None else patience_s)

    @contextlib.asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer as it comes; asked for once. Raises the errors of `problems`, also while it is read."""
        with self._told():
            async with self._opened().request(
                request.method,
                self.url + request.path,
                params=request.params,
                headers=request.headers,
                data=request.body,
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_S, sock_read=request.silence_s),
            ) as answer:
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    raise error_of(answer.status, answer.headers, await answer.read(), request.not_found)
                yield answer

    @contextlib.asynccontextmanager
    async def socket(self, request: Request, protocol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket that speaks a subprotocol. Raises the errors of `problems`, also while it is used."""
        with self._told():
            try:
                opening = self._opened().ws_connect(
                    self.url + request.path,
                    protocols=(protocol,),
                    headers=request.headers,
                    max_msg_size=MAX_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_receive=request.silence_s, ws_close=CLOSE_S),
                )
                async with asyncio.timeout(ANSWER_S):
                    socket = await opening
            except aiohttp.WSServerHandshakeError as error:
                raise error_of(error.status, error.headers or {}, b"", request.not_found) from None
            async with socket:
                yield socket

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        return self._session

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(f"The gateway at {self.url} cannot be reached: {_reason(error)}.") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"The gateway at {self.url} broke off: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionError) and cause.errno is not None:
        return os.strerror(cause.errno)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
