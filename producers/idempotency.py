"""Idempotency-Key: one key stands for one body (IETF draft-ietf-httpapi-idempotency-key-header).

Events take their ids from the key, and repeats are dropped by id downstream. Another body under the same key would be
dropped with them, so it is refused here. What a process remembers is bounded, and other processes do not know of it:
this finds a client that forgets to change its key, it does not make writing happen once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator
from http import HTTPStatus

from headrace.http.problems import Problem

MAX_KEYS = 10_000


class IdempotencyKeys:
    """The latest `MAX_KEYS` keys under which something was, or may have been, written."""

    def __init__(self) -> None:
        self._bodies: dict[tuple[str, str], bytes] = {}
        self._in_flight: set[tuple[str, str]] = set()

    @contextlib.contextmanager
    def hold(self, feed: str, key: str, body: bytes) -> Iterator[None]:
        """Hold the key while its request is written. A request of which nothing was written leaves it free.

        Raises `Problem`: 422 for a key of another body, 409 while a request with it is under way.
        """
        name = (feed, key)
        digest = hashlib.blake2b(body, digest_size=16).digest()
        known = self._bodies.get(name)
        if known not in (None, digest):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "This Idempotency-Key was sent with another body: take a new key."
            )
        if name in self._in_flight:
            raise Problem(
                HTTPStatus.CONFLICT,
                "A request with this Idempotency-Key is still being written: ask again.",
                headers={"Retry-After": "1"},
            )
        self._in_flight.add(name)
        self._bodies[name] = digest
        try:
            yield
        except BaseException as error:
            if known is None and not _may_be_written(error):
                self._bodies.pop(name, None)
            raise
        finally:
            self._in_flight.discard(name)
            while len(self._bodies) > MAX_KEYS:
                del self._bodies[next(iter(self._bodies))]


def _may_be_written(error: BaseException) -> bool:
    """Whether Kafka may have something of the request all the same: it did not answer, or the client did not wait."""
    if isinstance(error, Problem):
        return error.status == HTTPStatus.SERVICE_UNAVAILABLE
    return isinstance(error, asyncio.CancelledError)
