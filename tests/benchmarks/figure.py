"""A measured figure beside its reference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of ours and of the reference, in the same unit; `note` holds what else was seen."""

    what: str
    value: float
    reference: str
    reference_value: float
    note: str = ""
    unit: str = "/s"

    def __str__(self) -> str:
        ratio = self.value / self.reference_value
        ours, theirs = self._told(self.value), self._told(self.reference_value)
        line = f"{self.what:<46}{ours:>13}   {ratio:>6.2f} x {self.reference} ({theirs})"
        return f"{line}   {self.note}" if self.note else line

    def _told(self, value: float) -> str:
        return f"{value:,.0f}{self.unit}" if self.unit == "/s" else f"{value:,.1f}{self.unit}"
