"""`headrace secrets`: the keys that encrypt secrets at rest."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from headrace.consumers.relay.resealing import Resealed

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
    break: the first encrypts, all decrypt. Then `headrace secrets reseal`, and the old one can go.
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


@secrets.command()
def reseal() -> None:
    """Encrypt the secrets of all subscriptions anew with the first key, so that older ones can be taken out.

    Give it the same keys as the services, with the new one in front. The services may run meanwhile.
    """
    from confluent_kafka import KafkaException

    from headrace.cli.talk import Failure
    from headrace.consumers.relay.vault import CannotSeal
    from headrace.kafka.offsets import KafkaUnavailable, UnknownTopic

    try:
        done = asyncio.run(_reseal())
    except (CannotSeal, KafkaUnavailable, UnknownTopic, KafkaException) as error:
        raise Failure(str(error)) from None
    typer.echo(f"{done.count} subscriptions were sealed anew.")
    for name, reason in done.failed.items():
        typer.echo(f"{name} was not: {reason}.", err=True)
    raise typer.Exit(bool(done.failed))


async def _reseal() -> Resealed:
    from headrace.consumers.relay.definitions import Definitions
    from headrace.consumers.relay.resealing import reseal as reseal_all
    from headrace.consumers.relay.vault import Vault
    from headrace.kafka.admin import admin_client
    from headrace.settings import RelaySettings

    settings = RelaySettings()
    kafka = settings.kafka()
    definitions = Definitions(kafka, admin_client(kafka))
    try:
        await definitions.load()
        return await reseal_all(definitions, Vault.of(settings))
    finally:
        await definitions.close()
