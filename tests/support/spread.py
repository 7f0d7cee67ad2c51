"""Names of subscriptions for two relays that share them."""

from __future__ import annotations

from headrace.consumers.relay.definition import POSITION_PARTITIONS, position_partition

MORE_THAN_HALF = POSITION_PARTITIONS // 2 + 1


def spread(prefix: str) -> list[str]:
    """Names in more than half of the partitions: of two relays that share these, each has some."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < MORE_THAN_HALF:
        found.setdefault(position_partition(f"{prefix}-{number}"), f"{prefix}-{number}")
        number += 1
    return list(found.values())
