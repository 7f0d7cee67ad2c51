"""The options of a subscription on the command line: the same to make one and to change it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

EVENTS = "What is pushed"
PACE = "How it is pushed"


Ordering = Literal["none", "key"]
ContentMode = Literal["structured", "binary", "data"]

Description = Annotated[str | None, typer.Option("--description", help="A note for people.", show_default=False)]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME=VALUE", help="To find it by; may be repeated.", show_default=False),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Only events of this type; may be repeated.",
        show_default=False,
        rich_help_panel=EVENTS,
    ),
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="CEL",
        help="Only events for which this is true, such as \"data.tailnum == 'N14228'\".",
        show_default=False,
        rich_help_panel=EVENTS,
    ),
]
Order = Annotated[
    Ordering | None,
    typer.Option(
        "--ordering",
        help="With `key`, an event waits until the one before it of its key was taken.",
        show_default=False,
        rich_help_panel=PACE,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", help="Requests a second at most.", show_default=False, rich_help_panel=PACE),
]
MaxInFlight = Annotated[
    int | None,
    typer.Option("--max-in-flight", help="Requests at a time at most.", show_default=False, rich_help_panel=PACE),
]
BatchEvents = Annotated[
    int | None,
    typer.Option(
        "--batch", metavar="EVENTS", help="Up to so many in one request.", show_default=False, rich_help_panel=PACE
    ),
]
BatchWait = Annotated[
    int | None,
    typer.Option(
        "--batch-wait-ms",
        help="How long the first of a batch waits for more.",
        show_default=False,
        rich_help_panel=PACE,
    ),
]
Mode = Annotated[
    ContentMode | None,
    typer.Option(
        "--content-mode",
        help="CloudEvents, structured or binary, or their data alone.",
        show_default=False,
        rich_help_panel=PACE,
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        help="A JSON object with any members of a subscription, as the API has them; - is stdin. Options go before it.",
        allow_dash=True,
        show_default=False,
    ),
]


def options(
    *,
    description: str | None,
    label: Sequence[str] | None,
    type_: Sequence[str] | None,
    filter_: str | None,
    ordering: Ordering | None,
    rate: float | None,
    max_in_flight: int | None,
    batch: int | None,
    batch_wait_ms: int | None,
    content_mode: ContentMode | None,
) -> dict[str, Any]:
    """The members that were given; raises `typer.BadParameter`. Their values are checked by the gateway."""
    batching = {"max_events": batch, "max_wait_ms": batch_wait_ms}
    members = {
        "description": description,
        "labels": pairs(label or [], "--label"),
        "types": type_,
        "filter": filter_,
        "ordering": ordering,
        "rate_limit_per_s": rate,
        "max_in_flight": max_in_flight,
        "batch": {name: value for name, value in batching.items() if value is not None},
        "content_mode": content_mode,
    }
    return {name: value for name, value in members.items() if value not in (None, {}, [])}


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Names and values, from NAME=VALUE; raises `typer.BadParameter`."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{text} is not NAME=VALUE", param_hint=option)
        found[name] = value
    return found


def from_file(file: Path | None) -> dict[str, Any]:
    """The members in a file; raises `typer.BadParameter`."""
    if file is None:
        return {}
    try:
        members = orjson.loads(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="--file") from None
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}", param_hint="--file") from None
    if not isinstance(members, dict):
        raise typer.BadParameter(f"{file} is not a JSON object", param_hint="--file")
    return members


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, with the second before the first; their labels and batches, too, go together."""
    both = {**under, **over}
    for name in ("labels", "batch"):
        if isinstance(under.get(name), Mapping) and isinstance(over.get(name), Mapping):
            both[name] = {**under[name], **over[name]}
    return both
