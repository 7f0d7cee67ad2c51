"""How a replay gets on: a bar on a terminal, a line in the log every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol

import structlog
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress

from headrace.producers.replay.row import Source
from headrace.schemas.event import rfc3339

log = structlog.get_logger(__name__)

LINE_EVERY_S = 5.0


class Progress(Protocol):
    """What is told of the jobs of a replay, one after the other."""

    def begin(self, feed: str, source: Source) -> None:
        """A job begins."""

    def advance(self, events: int, time_ms: int | None) -> None:
        """So many more events are acknowledged, the last of them of this time."""

    def end(self) -> None:
        """The job ends, whatever the reason."""


def open_progress() -> Progress:
    """The one that suits standard error."""
    return Bar() if sys.stderr.isatty() else Lines()


class Rate:
    """Events of one job, and how many a second since the last look."""

    def __init__(self) -> None:
        self.events = 0
        self.time_ms: int | None = None
        self._looked = (time.monotonic(), 0)

    def advance(self, events: int, time_ms: int | None) -> None:
        """Count more of them."""
        self.events += events
        self.time_ms = time_ms

    @property
    def age_s(self) -> float:
        """Seconds since the last look."""
        return time.monotonic() - self._looked[0]

    def look(self) -> float:
        """Events a second since the last look."""
        rate = (self.events - self._looked[1]) / max(self.age_s, 1e-6)
        self._looked = (time.monotonic(), self.events)
        return rate

    @property
    def event_time(self) -> str:
        """The event time reached."""
        return "" if self.time_ms is None else rfc3339(self.time_ms)


class Lines:
    """Plain lines, by the log."""

    def begin(self, feed: str, source: Source) -> None:
        """Say nothing yet."""
        self._feed, self._source, self._rate = feed, source, Rate()

    def advance(self, events: int, time_ms: int | None) -> None:
        """A line, if the last one was some time ago."""
        self._rate.advance(events, time_ms)
        if self._rate.age_s >= LINE_EVERY_S:
            self._line()

    def end(self) -> None:
        """A last line."""
        if self._rate.events:
            self._line()

    def _line(self) -> None:
        log.info(
            "replaying",
            feed=self._feed,
            events=self._rate.events,
            events_per_s=round(self._rate.look()),
            event_time=self._rate.event_time,
            percent=round(100 * self._source.fraction(), 1),
        )


class Bar:
    """A bar on standard error for each job."""

    EVERY_S = 0.5

    def begin(self, feed: str, source: Source) -> None:
        """Show it."""
        self._source, self._rate = source, Rate()
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[events]:,} events  {task.fields[rate]:,.0f}/s  {task.fields[event_time]}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(feed, total=1.0, events=0, rate=0.0, event_time="")
        self._bar.start()

    def advance(self, events: int, time_ms: int | None) -> None:
        """Redraw it twice a second."""
        self._rate.advance(events, time_ms)
        if self._rate.age_s >= self.EVERY_S:
            self._draw()

    def end(self) -> None:
        """Leave its last state on the screen."""
        self._draw()
        self._bar.stop()

    def _draw(self) -> None:
        rate = self._rate
        self._bar.update(
            self._task,
            completed=self._source.fraction(),
            events=rate.events,
            rate=rate.look(),
            event_time=rate.event_time,
        )
