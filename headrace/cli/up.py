"""`headrace up`: everything in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def up(
    speed: Annotated[
        str, typer.Option(help="Of the flights' replay: 3600 is an hour a second, or max; 0 replays nothing.")
    ] = "3600",
    data_dir: Annotated[Path | None, typer.Option(help="Where the broker's data and the logs lie.")] = None,
    port: Annotated[int, typer.Option(help="The port of the embedded broker.")] = 9092,
) -> None:
    """Run broker, gateway, worker, relay and a replay of real flights; Ctrl-C stops them in order.

    With HEADRACE_BOOTSTRAP_SERVERS it uses your own Kafka instead of the embedded one.
    """
    from headrace.broker.run import default_data_dir
    from headrace.up.run import run_up

    raise typer.Exit(run_up(data_dir or default_data_dir(), port, speed))
