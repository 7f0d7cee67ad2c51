"""`headrace schemas`: checking and releasing the schemas of feeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

schemas = typer.Typer(help="Check and release the schemas of feeds.", no_args_is_help=True)

Directory = Annotated[
    Path | None, typer.Option(help="A directory with feeds/ and avro/; HEADRACE_FEEDS, else the built-in one.")
]


@schemas.command()
def check(directory: Directory = None) -> None:
    """Compare each schema with all that were released, and read a sample of each."""
    from headrace.schemas.catalogue import BUILT_IN
    from headrace.schemas.check import check_directory
    from headrace.schemas.feed import FeedError
    from headrace.schemas.ids import FileIds, SchemaError

    wanted = _directory(directory)
    try:
        ids = FileIds([BUILT_IN, wanted] if wanted != BUILT_IN else [BUILT_IN])
        fine, troubles = check_directory(wanted, ids)
    except (SchemaError, FeedError) as error:
        fine, troubles = [], [str(error)]
    for line in troubles:
        typer.echo(line, err=True)
    if troubles:
        raise typer.Exit(1)
    for line in fine:
        typer.echo(line)


@schemas.command()
def release(directory: Directory = None) -> None:
    """Release every schema that was changed: give it an id, and keep it and a sample of it for ever."""
    from headrace.schemas.catalogue import BUILT_IN
    from headrace.schemas.feed import FeedError
    from headrace.schemas.ids import SchemaError
    from headrace.schemas.release import release_all

    wanted = _directory(directory)
    try:
        made = release_all(wanted, [BUILT_IN] if wanted != BUILT_IN else [])
    except (SchemaError, FeedError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    for new in made:
        typer.echo(f"{new.schema} version {new.version} has the id {new.id}")
    if not made:
        typer.echo("Every schema is as it was released.")


def _directory(directory: Path | None) -> Path:
    from headrace.schemas.catalogue import BUILT_IN
    from headrace.settings import Settings

    return (directory or Settings().feeds or BUILT_IN).resolve()
