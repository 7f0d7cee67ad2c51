"""The command line: one command per service, and the commands that people use against them."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="headrace",
    help="One Kafka log, every way to deliver it: pull, follow live, or push to webhooks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """The entry point of the `headrace` command."""
    app()
