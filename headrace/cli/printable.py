"""What strangers sent, made fit to be printed."""

from __future__ import annotations


def printable(text: str, max_chars: int | None = None) -> str:
    """The text, or its beginning, in one line: it must not steer the terminal."""
    clean = "".join(c if c.isprintable() else "?" for c in text.strip())
    if max_chars is None or len(clean) <= max_chars:
        return clean
    return clean[: max_chars - 1] + "…"
