"""Attempts as they are printed: a line for people at a terminal, else a line of JSON; each as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import orjson
from rich.console import Console
from rich.text import Text

from headrace.cli.printable import printable
from headrace.client import Attempt

STYLES = {"done": "green", "retry": "yellow", "retry_short": "yellow"}


def printer(json: bool) -> Callable[[Attempt], None]:
    """Prints attempts to stdout."""
    console = Console(highlight=False, soft_wrap=True)
    if json or not console.is_terminal:
        return lambda attempt: print(orjson.dumps(attempt.raw).decode(), flush=True)

    def show(attempt: Attempt) -> None:
        line = as_line(attempt)
        line.truncate(console.width, overflow="ellipsis")
        console.print(line)

    return show


def as_line(attempt: Attempt) -> Text:
    """Time, outcome, answer, duration, event and its place in the feed, number of the attempt, error, next attempt."""
    line = Text()
    line.append(f"{datetime.fromisoformat(attempt.at).astimezone():%m-%d %H:%M:%S}", style="dim")
    line.append(f"  {attempt.outcome:<11}", style=f"bold {STYLES.get(attempt.outcome, 'red')}")
    line.append(f"  {attempt.status or '-':>3}  {attempt.seconds['total']:7.3f} s")
    line.append(f"  {printable(attempt.event_id)}")
    line.append(f"  {attempt.partition}/{attempt.offset}", style="dim")
    line.append(f"  #{attempt.attempt}")
    if attempt.next_attempt is not None:
        line.append(f"  again {datetime.fromisoformat(attempt.next_attempt).astimezone():%m-%d %H:%M:%S}", style="cyan")
    if attempt.error:
        line.append(f"  {printable(attempt.error)}", style="red")
    return line
