"""How many requests may be under way to one endpoint."""

from __future__ import annotations

START = 8


class Window:
    """Grows by one with every success, and halves when the endpoint is out of reach or too busy.

    So an endpoint that never answers holds one of the relay's requests in flight, not all of them.
    """

    __slots__ = ("_most", "size")

    def __init__(self, most: int) -> None:
        self.size = min(START, most)
        self._most = most

    def answered(self, status: int | None) -> None:
        """An attempt ended with this status, or with None where there was no answer."""
        if status is None or status == 429 or status >= 500:
            self.size = max(self.size // 2, 1)
        elif status < 300 and self.size < self._most:
            self.size += 1
