"""`headrace keys`: the keys of the API. They are written to Kafka directly, so that the first one needs no service."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from headrace.access.api_key import ApiKey
    from headrace.access.key_store import KeyStore

T = TypeVar("T")

keys = typer.Typer(help="Make, list and revoke keys of the API; needs Kafka, not a service.", no_args_is_help=True)

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
PerSecond = Annotated[float | None, typer.Option(min=0.001, show_default=False)]


@keys.callback()
def group() -> None:
    """Make, list and revoke keys of the API; needs Kafka, not a service."""


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="Who or what it is for.")],
    scope: Annotated[
        list[str],
        typer.Option(help="publish, read, subscribe or admin, a colon, and feeds: read:flights.*; may be repeated."),
    ],
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it holds: 30d, 12h, 90m.", show_default=False)
    ] = None,
    requests_per_s: PerSecond = None,
    events_per_s: PerSecond = None,
    bytes_per_s: PerSecond = None,
    connections: Annotated[int | None, typer.Option(min=1, show_default=False)] = None,
) -> None:
    """Make a key and print it alone; it is shown only this once."""
    from headrace.access.api_key import ApiKey, digest, new_key_text, split
    from headrace.access.quotas import Quotas
    from headrace.access.scopes import InvalidScope, parse_scopes

    try:
        scopes = parse_scopes(scope)
    except InvalidScope as error:
        raise typer.BadParameter(str(error), param_hint="--scope") from None
    now_s = time.time()
    expires_s = None if expires is None else now_s + _seconds(expires)
    text = new_key_text()
    parts = split(text)
    assert parts is not None
    key = ApiKey(
        id=parts[0],
        sha256=digest(parts[1]),
        name=name,
        scopes=scopes,
        created_s=now_s,
        created_by=f"{_user()}@{socket.gethostname()}",
        expires_s=expires_s,
        quotas=Quotas(requests_per_s, events_per_s, bytes_per_s, connections),
    )
    _with_store(lambda store: store.add(key))
    typer.echo(text)
    typer.echo(f"Keep it: of the key {key.id} only a hash is stored.", err=True)


@keys.command("list")
def list_keys(json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False) -> None:
    """List the keys, without their secrets."""
    from headrace.cli.key_view import print_keys

    async def read(store: KeyStore) -> list[ApiKey]:
        return store.all()

    print_keys(_with_store(read), json or not sys.stdout.isatty())


@keys.command()
def revoke(key: Annotated[str, typer.Argument(help="Its id, or its name where no other has the same.")]) -> None:
    """Revoke a key at once: what was opened with it is closed, also with tokens made from it."""
    from headrace.access.api_key import split

    # Somebody may well paste the whole key.
    wanted = parts[0] if (parts := split(key)) is not None else key
    revoked = _with_store(lambda store: store.revoke(wanted))
    if revoked is None:
        typer.echo(f"There is not exactly one key with the id or name {wanted}; see `headrace keys list`.", err=True)
        raise typer.Exit(1)
    typer.echo(f"Revoked {revoked.id} ({revoked.name}).", err=True)


@keys.command()
def generate() -> None:
    """Print a new key for HEADRACE_ADMIN_KEY, which may do everything. It is stored nowhere."""
    from headrace.access.api_key import new_key_text

    typer.echo(new_key_text())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # containers run as numbers that no name belongs to
        return str(os.getuid())


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"{text} is not a time like 30d, 12h, 90m or 60s", param_hint="--expires")
    return int(match[1]) * UNITS_S[match[2]]


def _with_store(work: Callable[[KeyStore], Awaitable[T]]) -> T:
    from confluent_kafka import KafkaException

    from headrace import logs
    from headrace.access.key_store import KeyStore
    from headrace.kafka.offsets import KafkaUnavailable
    from headrace.settings import Settings

    logs.configure("warning")  # to stderr: on stdout there is the key and nothing else

    async def run() -> T:
        settings = Settings()
        async with KeyStore(settings.kafka(), settings.replication_factor) as store:
            return await work(store)

    try:
        return asyncio.run(run())
    except (KafkaUnavailable, KafkaException) as error:
        typer.echo(f"Kafka does not answer: {error}. HEADRACE_BOOTSTRAP_SERVERS names it.", err=True)
        raise typer.Exit(1) from None
