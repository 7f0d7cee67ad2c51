"""Where a reader starts, as it is said on the command line."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, TypedDict

import typer

PLACES = "-1 (the beginning), now, an offset from an earlier read, or a time like 2026-11-24T09:00:00Z."

From = Annotated[str, typer.Option("--from", help=PLACES)]


class Start(TypedDict):
    """The arguments of the client's calls; one of them is None."""

    offset: str | None
    from_time: datetime | None


def parse_start(text: str) -> Start:
    """The start; raises `typer.BadParameter` for a time that is none. Offsets are checked by the gateway."""
    if not re.match(r"\d{4}-\d", text):
        return {"offset": text, "from_time": None}
    return {"offset": None, "from_time": parse_time(text, "--from")}


def parse_time(text: str, option: str) -> datetime:
    """The time that an option names; raises `typer.BadParameter`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is not a time like 2026-11-24T09:00:00Z", param_hint=option) from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text} needs its offset from UTC: Z, or one like +01:00", param_hint=option)
    return moment
