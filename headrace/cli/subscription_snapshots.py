"""`headrace subscriptions snapshot`, `snapshots` and `delete-snapshot`: positions that have a name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.subscription_id import Id, Json
from headrace.cli.talk import Url, talk

if TYPE_CHECKING:
    from headrace.client import Client

Name = Annotated[str, typer.Argument(metavar="NAME", help="The snapshot's name.", show_default=False)]


def snapshot(id_: Id, name: Name, url: Url = None) -> None:
    """Give a name to where a subscription is now: `seek --snapshot NAME` goes back to it."""

    async def work(client: Client) -> None:
        saved = await client.subscriptions.snapshots(id_).save(name)
        typer.echo(f"{saved.name} is {saved.offset}.", err=True)

    talk(url, work)


def snapshots(id_: Id, json: Json = False, url: Url = None) -> None:
    """List the snapshots of a subscription, by name."""

    async def work(client: Client) -> None:
        import orjson

        found = await client.subscriptions.snapshots(id_).list()
        if json or not sys.stdout.isatty():
            for one in found:
                print(orjson.dumps(one).decode())
        elif not found:
            print(f"No snapshots yet: `headrace subscriptions snapshot {id_} NAME`.")
        else:
            width = max(len(one.name) for one in found)
            for one in found:
                print(f"{one.name:<{width}}  {one.at}  {one.offset}")

    talk(url, work)


def delete_snapshot(id_: Id, name: Name, url: Url = None) -> None:
    """Forget a snapshot; the subscription stays where it is."""

    async def work(client: Client) -> None:
        await client.subscriptions.snapshots(id_).delete(name)
        typer.echo(f"{name} is deleted.", err=True)

    talk(url, work)
