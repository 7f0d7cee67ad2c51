"""A position: per partition of a feed, the next offset to be read. The only notion of where a reader is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Position = tuple[int, ...]
"""The offsets in order of partition. Partitions that a feed got later than the position was taken join at 0."""


class PositionError(Exception):
    """A position that cannot be used."""


class MalformedPosition(PositionError):
    """Not an offset token, or one that does not belong to this feed."""


class PositionGone(PositionError):
    """The position is older than what the feed keeps, or of a topic that is no more. `earliest` still is to be had."""

    def __init__(self, reason: str, earliest: Position) -> None:
        super().__init__(reason)
        self.earliest = earliest


def widen(position: Position, partitions: int) -> Position:
    """The position over all partitions that the feed has now."""
    return position + (0,) * (partitions - len(position))


def lowered(position: Sequence[int], places: Iterable[tuple[int, int]]) -> Position:
    """The position, in each partition no later than any of the places (partition and offset) in it."""
    offsets = list(position)
    for partition, offset in places:
        offsets[partition] = min(offsets[partition], offset)
    return tuple(offsets)
