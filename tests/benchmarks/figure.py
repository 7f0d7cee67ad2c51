"""A measured figure beside its reference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """`per_s` of ours and of the reference, in the same unit; `note` holds what else was seen."""

    what: str
    per_s: float
    reference: str
    reference_per_s: float
    note: str = ""

    def __str__(self) -> str:
        ratio = self.per_s / self.reference_per_s
        line = (
            f"{self.what:<46}{self.per_s:>11,.0f}/s   {ratio:>6.2f} x {self.reference} ({self.reference_per_s:,.0f}/s)"
        )
        return f"{line}   {self.note}" if self.note else line
