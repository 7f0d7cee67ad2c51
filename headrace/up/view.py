"""What `headrace up` shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headrace.up.child import Child, State
from headrace.up.figures import Figures

REFRESH_S = 0.5
PLAIN_S = 10.0

STYLES = {
    State.READY: "green",
    State.FINISHED: "green",
    State.NOT_READY: "yellow",
    State.STARTING: "yellow",
    State.STOPPING: "yellow",
    State.RESTARTING: "bold red",
}


class View:
    """Shows the parts until it is left; `say` prints a line that stays."""

    def __init__(
        self, console: Console, broker: str, children: Sequence[Child], figures: Figures, try_next: str
    ) -> None:
        self._console = console
        self._broker = broker
        self._children = children
        self._figures = figures
        self._try_next = try_next

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show while the block runs."""
        if self._console.is_terminal:
            with Live(console=self._console, get_renderable=self._table, refresh_per_second=1 / REFRESH_S):
                yield
        else:
            self._console.print(self._try_next, highlight=False)
            printing = asyncio.ensure_future(self._print())
            try:
                yield
            finally:
                printing.cancel()

    def _table(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for name in ("part", "state", "events/s", "events", "metrics"):
            table.add_column(name, justify="right" if name.startswith("events") else "left", header_style="bold")
        table.add_row("broker", Text("ready", "green"), "", "", self._broker)
        for child in self._children:
            per_second, total = self._figures.per_second(child), self._figures.total(child)
            again = f", {child.restarts} times restarted" if child.restarts else ""
            table.add_row(
                child.service.name,
                Text(child.state.value + again, STYLES.get(child.state, "dim")),
                "" if per_second is None else f"{per_second:,.0f}",
                "" if total is None else f"{total:,}",
                f"127.0.0.1:{child.service.port}/metrics",
            )
        return Group(table, Text(""), Text(self._try_next, "dim"), Text("Ctrl-C stops all in order.", "dim"))

    async def _print(self) -> None:
        """A line for each change of state, and one with the rates every 10 s."""
        states: dict[str, State] = {}
        elapsed_s = 0.0
        while True:
            for child in self._children:
                if states.get(child.service.name) is not child.state:
                    states[child.service.name] = child.state
                    self._console.print(f"{child.service.name}: {child.state.value}", highlight=False)
            if elapsed_s >= PLAIN_S:
                elapsed_s = 0.0
                rates = (f"{c.service.name} {self._figures.per_second(c) or 0:,.0f}" for c in self._children)
                self._console.print(f"events/s: {', '.join(rates)}", highlight=False)
            await asyncio.sleep(REFRESH_S)
            elapsed_s += REFRESH_S
