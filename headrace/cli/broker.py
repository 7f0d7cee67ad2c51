"""`headrace broker`: the embedded broker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def broker(
    data_dir: Annotated[Path | None, typer.Option(help="Where its data lies; kept between runs.")] = None,
    port: Annotated[int, typer.Option(help="The port of 127.0.0.1 that it listens on.")] = 9092,
    heap_mb: Annotated[int, typer.Option(help="Memory for the Java heap, in MiB.")] = 512,
) -> None:
    """Run an embedded Apache Kafka: no Docker, no Java to install."""
    from headrace.broker.run import default_data_dir, run_broker

    raise typer.Exit(run_broker(data_dir or default_data_dir() / "broker", port, heap_mb))
