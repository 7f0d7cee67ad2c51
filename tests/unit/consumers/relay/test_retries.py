"""The backoff between attempts."""

from __future__ import annotations

import pytest

from headrace.consumers.relay.retries import JITTER, backoff_s


@pytest.mark.parametrize(("attempt", "wait_s"), [(1, 5), (2, 10), (3, 20), (10, 2560), (11, 3600), (5000, 3600)])
def test_waits_double_up_to_the_longest_and_are_spread(attempt: int, wait_s: float) -> None:
    waits = [backoff_s(attempt, 5.0, 3600.0) for _ in range(500)]
    assert all(wait_s * (1 - JITTER) <= wait <= wait_s * (1 + JITTER) for wait in waits)
    assert max(waits) - min(waits) > wait_s * JITTER
