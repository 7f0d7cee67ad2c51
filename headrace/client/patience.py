"""How often, and for how long, a gateway that is away is asked again."""

from __future__ import annotations

import asyncio
import logging
import random
import time

from headrace.client.problems import Unavailable

log = logging.getLogger("headrace.client")

FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0
MAX_RETRY_AFTER_S = 300.0
"""A longer Retry-After is not believed."""


class Patience:
    """Waits between attempts, with jittered backoff, until `patience_s` have passed since the first that failed."""

    def __init__(self, url: str, patience_s: float) -> None:
        self._url = url
        self._patience_s = patience_s
        self._failures = 0
        self._since_s = 0.0

    async def bear(self, error: Unavailable) -> None:
        """Wait for the next attempt; raises the error where the patience would be over by then."""
        now_s = time.monotonic()
        if self._failures == 0:
            self._since_s = now_s
        wait_s = max(backoff_s(self._failures), min(error.retry_after_s, MAX_RETRY_AFTER_S))
        if now_s + wait_s > self._since_s + self._patience_s:
            raise error
        if self._failures == 0:
            log.warning("%s Asking again.", error)
        self._failures += 1
        await asyncio.sleep(wait_s)

    def answered(self) -> None:
        """The gateway is there."""
        if self._failures:
            log.warning("The gateway at %s answers again.", self._url)
            self._failures = 0


def backoff_s(failures: int) -> float:
    """The wait before the next attempt: doubling from 0.1 s to 5 s, the upper half of it random."""
    longest_s = min(FIRST_BACKOFF_S * 2 ** min(failures, 16), MAX_BACKOFF_S)
    return random.uniform(longest_s / 2, longest_s)  # noqa: S311
