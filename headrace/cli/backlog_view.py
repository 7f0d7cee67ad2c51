"""What was not delivered, as it is printed: tables for people at a terminal, else JSON."""

from __future__ import annotations

import sys

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.cli.printable import printable
from headrace.client import Undelivered


def print_undelivered(found: Undelivered, json: bool) -> None:
    """A table of what waits for its retry and one of what was given up, or all of it as one line of JSON."""
    if json or not sys.stdout.isatty():
        print(orjson.dumps(found.raw).decode())
        return
    # Plainly printed: the offset must not be wrapped.
    print(f"{found.lag:,} events are not delivered, of those after {found.offset}.")
    console = Console()
    if found.parked:
        waiting = _table("Failed, and tried again", "event", "attempts", "next attempt")
        for event in found.parked:
            waiting.add_row(f"{event.partition}/{event.offset}", str(event.attempt), event.next_attempt or "-")
        console.print(waiting)
    if found.dead_letters:
        given_up = _table("Dead letters", "event", "id", "attempts", "at", "reason")
        for letter in found.dead_letters:
            given_up.add_row(
                f"{letter.partition}/{letter.offset}",
                Text(printable(letter.event_id or "-")),
                str(letter.attempts),
                letter.at,
                Text(printable(letter.reason)),
            )
        console.print(given_up)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
