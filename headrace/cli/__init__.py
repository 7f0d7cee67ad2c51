"""The command line: one command per service, and the commands that people use against them."""

from __future__ import annotations

import typer

from headrace.cli.broker import broker
from headrace.cli.gateway import gateway
from headrace.cli.ingest import ingest
from headrace.cli.relay import relay
from headrace.cli.schemas import schemas
from headrace.cli.serve import serve

app = typer.Typer(
    name="headrace",
    help="One Kafka log, every way to deliver it: pull, follow live, or push to webhooks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (broker, gateway, ingest, relay, serve):
    app.command()(command)
app.add_typer(schemas, name="schemas")


def main() -> None:
    """The entry point of the `headrace` command."""
    app()
