"""Requests and streams that are open, so that they end with the credential that opened them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from headrace.access.credential import Credential
from headrace.access.quotas import Meter


class Visit:
    """One open request, or the stream that came of it. `end` closes it; None lets it finish."""

    __slots__ = ("credential", "end", "ended", "kept", "meters")

    def __init__(self, credential: Credential, meters: tuple[Meter, ...], end: Callable[[], object] | None) -> None:
        self.credential = credential
        self.meters = meters
        self.end = end
        self.kept = False
        self.ended = False


class Visits:
    """All of a process. To be used from the event loop only."""

    def __init__(self) -> None:
        self._open: dict[Visit, None] = {}

    def enter(self, visit: Visit) -> None:
        """Note one that begins."""
        self._open[visit] = None
        for meter in visit.meters:
            meter.connections += 1

    def leave(self, visit: Visit) -> None:
        """Note that it is over; a second time is no error."""
        if visit in self._open:
            del self._open[visit]
            for meter in visit.meters:
                meter.connections -= 1

    def end_key(self, key_id: str) -> None:
        """Close whatever a key has opened, itself or by tokens made with it."""
        self._end(visit for visit in list(self._open) if visit.credential.key_id == key_id)

    def end_expired(self, now_s: float) -> None:
        """Close whatever was opened with what has expired by now."""
        expired = [v for v in self._open if v.credential.expires_s is not None and v.credential.expires_s <= now_s]
        self._end(expired)

    def _end(self, visits: Iterable[Visit]) -> None:
        for visit in visits:
            if not visit.ended:
                visit.ended = True
                if visit.end is not None:
                    visit.end()

    def __len__(self) -> int:
        return len(self._open)
