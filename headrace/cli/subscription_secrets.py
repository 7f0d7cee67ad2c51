"""`headrace subscriptions rotate-secret` and `reveal-secret`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headrace.cli.subscription_id import Id
from headrace.cli.talk import Url, talk

if TYPE_CHECKING:
    from headrace.client import Client


def rotate_secret(
    id_: Id,
    overlap_s: Annotated[
        float | None,
        typer.Option(help="How long the old secret signs, too; 24 h unless set otherwise.", show_default=False),
    ] = None,
    signing: Annotated[
        Literal["hmac", "ed25519"] | None,
        typer.Option(help="A shared secret, or a key pair; as it is now by default.", show_default=False),
    ] = None,
    url: Url = None,
) -> None:
    """Make a new secret and print it alone; with ed25519 the public key.

    Until the overlap is over, pushes are signed with the old one, too: give the new one to the receiver meanwhile.
    """

    async def work(client: Client) -> None:
        rotated = await client.subscriptions.rotate_secret(id_, overlap_s=overlap_s, signing=signing)
        typer.echo(rotated.secret)

    talk(url, work)


def reveal_secret(id_: Id, url: Url = None) -> None:
    """Print the secret alone, or the public key; the gateway logs that it was asked."""

    async def work(client: Client) -> None:
        typer.echo(await client.subscriptions.reveal_secret(id_))

    talk(url, work)
