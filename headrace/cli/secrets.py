"""`headrace secrets`: the keys that encrypt secrets at rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

secrets = typer.Typer(help="Make keys that encrypt the secrets of subscriptions.", no_args_is_help=True)


@secrets.callback()
def group() -> None:
    """Make keys that encrypt the secrets of subscriptions."""


@secrets.command()
def new_key(
    file: Annotated[
        Path | None,
        typer.Option(help="Write it to this file, which only you can read, unless there is one.", show_default=False),
    ] = None,
) -> None:
    """Print a new key for HEADRACE_SECRET_KEYS, or keep it in a file for HEADRACE_SECRET_KEYS_FILE.

    Every gateway and relay needs the same. To replace a key, put the new one in front, separated by a comma or a line
    break: the first encrypts, all decrypt.
    """
    from headrace.errors import Misconfigured
    from headrace.secret_keys import keep_secret_key, new_secret_key

    if file is None:
        typer.echo(new_secret_key())
        return
    try:
        made = keep_secret_key(file)
    except OSError as error:
        raise Misconfigured(f"The key cannot be written to {file}: {error.strerror}.") from None
    typer.echo(f"A new key is in {file}: keep it." if made else f"{file} exists: it stays as it is.", err=True)
