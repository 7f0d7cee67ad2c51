"""The cursor of live answers (Durable Streams 1.0, section 8.1): a number that makes caches come again."""

from __future__ import annotations

import random
import time

CURSOR_EPOCH_S = 1_728_432_000  # 9 October 2024 UTC, Durable Streams 1.0 section 8.1
CURSOR_INTERVAL_S = 20


def next_cursor(client: int | None) -> int:
    """The number of the present interval; above the client's own where that is not behind (section 8.1)."""
    interval = int(time.time() - CURSOR_EPOCH_S) // CURSOR_INTERVAL_S
    if client is None or client < interval:
        return interval
    return client + max(1, random.randint(1, 3600) // CURSOR_INTERVAL_S)  # noqa: S311


def least_cursor(client: int | None) -> int:
    """The least number that a client may be told on a connection that lasts; 0 where any will do.

    Above its own by one, not by a random number: these answers are not cached, and equal ones are made once for many.
    """
    return 0 if client is None or client < next_cursor(None) else client + 1
