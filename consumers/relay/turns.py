"""Whose turn it is to send: a round robin over endpoints under one total limit of requests in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

SHARE = 0.125


class Turns:
    """Slots for requests in flight, given to endpoints in turn, one request at a turn.

    An endpoint stands in line once, however much it has to send: so it delays another by one request. What bounds an
    endpoint that answers slowly is its own window, and its share: it may hold at most `share` of the slots that are
    *free* (and one in any case), as memory is shared between the queues of a switch (Choudhury and Hahne, "dynamic
    queue length thresholds", 1998). The fuller it gets, the less a single one may have: `n` endpoints that never answer
    leave 1 of (1 + n * share) slots to the others, and nobody has to measure who is slow.

    Synchronous, for one event loop; every call costs the same however many endpoints there are, beside the requests
    that it lets start. Invariants: the slots held by all places and `free` are `total`; a place that wants a turn is in
    line, or will be when one of its own requests ends.
    """

    def __init__(self, total: int, share: float = SHARE) -> None:
        if total < 1:
            raise ValueError(f"at least one request must be allowed in flight, not {total}")
        self.total = total
        self.free = total
        self._share = share
        self._line: deque[Place] = deque()
        self._serving = False

    @property
    def waiting(self) -> int:
        """Endpoints in line."""
        return len(self._line)

    def place(self, send: Callable[[], bool]) -> Place:
        """A place for an endpoint.

        `send` is called when it is its turn: it starts one request and gives True, and is called again at its next
        turn; or it has nothing to send, or may not, and gives False: then it gets no turn until it wants one.
        """
        return Place(self, send)

    def serve(self) -> None:
        """Let those in line start what may start."""
        if self._serving:
            return  # a `send` further up asks for more: the loop there sees it
        self._serving = True
        try:
            while self.free > 0 and self._line:
                self._line.popleft().turn(max(self.free * self._share, 1.0))
        finally:
            self._serving = False

    def join(self, place: Place) -> None:
        """Put a place at the end of the line."""
        self._line.append(place)


class Place:
    """An endpoint's place among all: it asks for turns here, and gives back the slots of its requests."""

    __slots__ = ("_in_line", "_over_share", "_send", "_turns", "held")

    def __init__(self, turns: Turns, send: Callable[[], bool]) -> None:
        self._turns = turns
        self._send: Callable[[], bool] | None = send
        self._in_line = False
        self._over_share = False
        self.held = 0

    def want(self) -> None:
        """Ask for a turn: at once where a slot is free. Asking again while in line changes nothing."""
        self._stand()
        self._turns.serve()

    def release(self) -> None:
        """A request has ended: its slot is free."""
        assert self.held > 0
        self.held -= 1
        self._turns.free += 1
        if self._over_share:
            self._stand()
        self._turns.serve()

    def close(self) -> None:
        """No more turns; requests under way still hold their slots until they are released."""
        self._send = None

    def turn(self, share: float) -> None:
        """Use a free slot, where the endpoint holds fewer than `share` of them."""
        if self._send is None or self.held >= share:
            self._in_line = False
            self._over_share = True
            return
        self.held += 1
        self._turns.free -= 1
        started = False
        try:
            # Still in line: what `send` itself wants is said by what it gives.
            started = self._send()
        finally:
            self._in_line = False
            if not started:
                self.held -= 1
                self._turns.free += 1
        if started:
            self._stand()

    def _stand(self) -> None:
        self._over_share = False
        if not self._in_line and self._send is not None:
            self._in_line = True
            self._turns.join(self)
