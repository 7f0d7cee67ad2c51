"""Seeing that a worker stands still while there is work."""

from __future__ import annotations

from collections.abc import Mapping

Offsets = Mapping[tuple[str, int], int]


class Stalled(Exception):
    """The log grew and nothing was committed for too long."""


class Watchdog:
    """Told now and then how far was committed and where the log ends, over the partitions that are ours."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._committed: Offsets = {}
        self._ends: Offsets = {}
        self._since_s: float | None = None

    def look(self, now_s: float, committed: Offsets, ends: Offsets) -> None:
        """Raises `Stalled` when the ends have been ahead of where they stood at the last commit for `patience_s`."""
        if committed != self._committed or committed.keys() != self._ends.keys():
            self._committed, self._ends, self._since_s = dict(committed), dict(ends), None
        behind = any(ends[tp] > committed[tp] and ends[tp] > self._ends[tp] for tp in committed)
        if not behind:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s > self._patience_s:
            raise Stalled(f"the log grew and nothing was committed for {self._patience_s:.0f} s: {dict(committed)}")
