"""How many requests may be under way to one endpoint."""

from __future__ import annotations

from headrace.consumers.relay.outcome import Verdict

START = 8

RESTART = 1
"""After a pause or an outage: with one more for every success it doubles with each round trip."""


class Window:
    """Grows by one with every success, and halves when the endpoint is out of reach or too busy.

    So an endpoint that never answers holds one of the relay's requests in flight, not all of them. What a request says
    counts only where it was sent in the present `generation`: it began when the window was last halved or restarted, so
    that requests which fail together halve it once. Invariant: 1 <= `size` <= `most`.
    """

    __slots__ = ("_most", "generation", "size")

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"at least one request must be allowed in flight, not {most}")
        self.size = min(START, most)
        self.generation = 0
        self._most = most

    def ended(self, generation: int, verdict: Verdict) -> None:
        """A request has ended; `generation` is the window's when it was sent."""
        if generation != self.generation:
            return
        if verdict.slow_down:
            self._begin(self.size // 2)
        elif verdict.delivered and self.size < self._most:
            self.size += 1

    def restart(self) -> None:
        """The endpoint is back after a pause or an outage: begin small, whatever earlier requests still say."""
        self._begin(RESTART)

    def _begin(self, size: int) -> None:
        self.size = max(size, 1)
        self.generation += 1
