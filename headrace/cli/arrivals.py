"""What arrived at `headrace listen`, as it is printed: a line for people, or a line of JSON."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from rich.console import Console
from rich.text import Text

from headrace.cli.printable import printable
from headrace.cli.receiver import Arrival

MAX_DATA_CHARS = 160


def printer(json: bool) -> Callable[[Arrival], None]:
    """Prints arrivals to stdout."""
    if json:
        return lambda arrival: print(as_json(arrival), flush=True)
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        return lambda arrival: print(as_line(arrival).plain, flush=True)

    def show(arrival: Arrival) -> None:
        line = as_line(arrival)
        line.truncate(console.width, overflow="ellipsis")
        console.print(line)

    return show


def as_line(arrival: Arrival) -> Text:
    """Time, mark, webhook-id, type, place in the feed, and the beginning of the data."""
    mark, style = "verified", "green"
    if arrival.refused is not None:
        mark, style = "refused", "red"
    elif arrival.repeat:
        mark, style = "repeat", "yellow"
    line = Text()
    line.append(f"{arrival.time.astimezone():%H:%M:%S.%f}"[:-3], style="dim")
    line.append(f"  {mark:<8}", style=f"bold {style}")
    line.append(f"  {printable(arrival.webhook_id) or '-'}")
    if arrival.refused is not None:
        line.append(f"  {arrival.refused}", style=style)
        return line
    event = arrival.event or {}
    line.append(f"  {printable(str(event.get('type', '-')))}", style="cyan")
    if "sequence" in event:
        offset = str(event["sequence"]).lstrip("0") or "0"
        line.append(f"  {printable(str(event.get('partition')))}/{printable(offset)}", style="dim")
    line.append(f"  {_data(arrival)}")
    return line


def as_json(arrival: Arrival) -> str:
    """All of it in one line."""
    members = {
        "received": arrival.time,
        "webhook_id": arrival.webhook_id,
        "verified": arrival.refused is None,
        "repeat": arrival.repeat,
    }
    if arrival.refused is not None:
        members["reason"] = arrival.refused
    elif arrival.event is not None:
        members["event"] = arrival.event
    else:
        members["body"] = arrival.body.decode("utf-8", "replace")
    return orjson.dumps(members).decode()


def _data(arrival: Arrival) -> str:
    event = arrival.event
    if event is None:
        text = arrival.body.decode("utf-8", "replace")
    else:
        text = orjson.dumps(event.get("data", event.get("data_base64"))).decode()
    return printable(text, MAX_DATA_CHARS)
