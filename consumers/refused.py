"""Positions that cannot be read from, as answers."""

from __future__ import annotations

from http import HTTPStatus

from headrace import metrics
from headrace.consumers.core.feed_log import FeedLog
from headrace.consumers.core.position import PositionError, PositionGone
from headrace.http.problems import Problem


def refused(feed_log: FeedLog, error: PositionError) -> Problem:
    """410 with the position from which events are still to be had; 400 for what is no position of the feed."""
    if isinstance(error, PositionGone):
        metrics.errors.labels("position_gone").inc()
        return Problem(
            HTTPStatus.GONE,
            f"{error}. Events are lost to this reader: go on from earliest_offset.",
            earliest_offset=feed_log.token(error.earliest),
        )
    return Problem(HTTPStatus.BAD_REQUEST, f"offset: {error}; use -1, now, or a Stream-Next-Offset of this feed")
