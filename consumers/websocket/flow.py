"""Credit: what a client has said that it will take, in events and in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_EVENTS = 1000
DEFAULT_BYTES = 2**20
MOST = 2**53 - 1
"""The largest integer that JSON carries everywhere (RFC 8259 section 6): credit without an end."""


@dataclass(slots=True)
class Credit:
    """What may still be sent. `bytes` counts events as structured JSON, without the frame around them.

    `needed_bytes` is the size of an event that did not fit: nothing is sent until there is credit for it.
    """

    events: int
    bytes: int
    needed_bytes: int = 1

    @property
    def is_short(self) -> bool:
        """Whether nothing may be sent now."""
        return self.events < 1 or self.bytes < self.needed_bytes

    @property
    def read_bytes(self) -> int:
        """About as much as is worth reading now."""
        return max(self.bytes, self.needed_bytes)

    def grant(self, events: int, size_bytes: int) -> None:
        """Add what the client grants."""
        self.events = min(self.events + events, MOST)
        self.bytes = min(self.bytes + size_bytes, MOST)

    def spend(self, sizes: Sequence[int]) -> int:
        """Take credit for as many of the events, in their order, as there is; how many that is.

        Where it is none, `needed_bytes` says what is missing.
        """
        count, left = 0, self.bytes
        for size in sizes[: self.events]:
            if size > left:
                break
            left -= size
            count += 1
        self.events -= count
        self.bytes = left
        self.needed_bytes = 1 if count else sizes[0]
        return count
