"""One request and its answer, asked again while the gateway is away: the only place of the client that knows HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from headrace import __version__
from headrace.client.problems import NotFound, Unavailable, Unreachable, error_of

log = logging.getLogger("headrace.client")

CONNECT_S = 5.0
ANSWER_S = 30.0
"""Longest silence of a gateway that was asked something; a long poll has its own."""

FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0
MAX_RETRY_AFTER_S = 300.0
"""A longer Retry-After is not believed."""


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
        patience_s = self.patience_s if patience_s is None else patience_s
        deadline = time.monotonic() + patience_s
        failures = 0
        while True:
            try:
                answer = await self._once(request)
            except again_after as error:
                wait_s = max(backoff_s(failures), min(error.retry_after_s, MAX_RETRY_AFTER_S))
                if time.monotonic() + wait_s > deadline:
                    raise
                if failures == 0:
                    log.warning("%s Asking again.", error)
                failures += 1
                await asyncio.sleep(wait_s)
            else:
                if failures:
                    log.warning("The gateway at %s answers again.", self.url)
                return answer

    async def _once(self, request: Request) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        try:
            async with self._session.request(
                request.method,
                self.url + request.path,
                params=request.params,
                headers=request.headers,
                data=request.body,
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_S, sock_read=request.silence_s),
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(f"The gateway at {self.url} cannot be reached: {_reason(error)}.") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"The gateway at {self.url} broke off: {_reason(error)}.") from None
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise error_of(answer.status, answer.headers, body, request.not_found)
        return Answer(answer.status, answer.headers, body)


def backoff_s(failures: int) -> float:
    """The wait before the next attempt: doubling from 0.1 s to 5 s, the upper half of it random."""
    longest_s = min(FIRST_BACKOFF_S * 2 ** min(failures, 16), MAX_BACKOFF_S)
    return random.uniform(longest_s / 2, longest_s)  # noqa: S311


def _reason(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionError) and cause.errno is not None:
        return os.strerror(cause.errno)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
