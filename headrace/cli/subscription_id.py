"""What the commands about a subscription take alike."""

from __future__ import annotations

from typing import Annotated

import typer

Id = Annotated[str, typer.Argument(metavar="ID", help="The subscription's id.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON, as also where stdout is no terminal.")]
