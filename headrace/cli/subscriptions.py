"""`headrace subscriptions`: what is subscribed, and how it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.start import From, parse_start
from headrace.cli.talk import Failure, Url, talk

if TYPE_CHECKING:
    from headrace.client import Client

subscriptions = typer.Typer(help="List, show, pause, move, test and delete subscriptions.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The subscription's id.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON, as also where stdout is no terminal.")]


@subscriptions.callback(invoke_without_command=True)
def default(context: typer.Context, json: Json = False, url: Url = None) -> None:
    """List, show, pause, move, test and delete subscriptions; without a command, list them."""
    if context.invoked_subcommand is None:
        list_all(json, url)
    elif json or url:
        raise typer.BadParameter(f"give options after `{context.invoked_subcommand}`")


@subscriptions.command("list")
def list_all(json: Json = False, url: Url = None) -> None:
    """List all subscriptions, the oldest first."""

    async def work(client: Client) -> None:
        from headrace.cli.subscription_view import print_all

        print_all(await client.subscriptions.list(), json)

    talk(url, work)


@subscriptions.command()
def show(id_: Id, json: Json = False, url: Url = None) -> None:
    """Show a subscription and how it stands: its position, its lag, what failed."""

    async def work(client: Client) -> None:
        from headrace.cli.subscription_view import print_one

        print_one(await client.subscriptions.get(id_), json)

    talk(url, work)


@subscriptions.command()
def pause(id_: Id, url: Url = None) -> None:
    """Push nothing until it is resumed; the position stays."""

    async def work(client: Client) -> None:
        paused = await client.subscriptions.pause(id_)
        typer.echo(f"{paused.id} is {paused.state}.", err=True)

    talk(url, work)


@subscriptions.command()
def resume(id_: Id, url: Url = None) -> None:
    """Go on from where it was paused."""

    async def work(client: Client) -> None:
        resumed = await client.subscriptions.resume(id_)
        typer.echo(f"{resumed.id} is {resumed.state}.", err=True)

    talk(url, work)


@subscriptions.command()
def delete(id_: Id, url: Url = None) -> None:
    """End a subscription for good; its position goes with it."""

    async def work(client: Client) -> None:
        await client.subscriptions.delete(id_)
        typer.echo(f"{id_} is deleted.", err=True)

    talk(url, work)


@subscriptions.command()
def seek(id_: Id, from_: From, url: Url = None) -> None:
    """Move a subscription: it pushes again from there, or leaves out what lies between."""
    start = parse_start(from_)

    async def work(client: Client) -> None:
        from headrace.cli.subscription_view import print_one

        print_one(await client.subscriptions.seek(id_, **start), json=False)

    talk(url, work)


@subscriptions.command("test")
def push_test(id_: Id, url: Url = None) -> None:
    """Push one signed event of type headrace.test now, and tell how that went."""

    async def work(client: Client) -> None:
        attempt = await client.subscriptions.test(id_)
        if not attempt.delivered:
            raise Failure(f"Not delivered after {attempt.seconds:.3f} s: {attempt.error}.")
        typer.echo(f"Delivered: answered {attempt.status} after {attempt.seconds:.3f} s.", err=True)

    talk(url, work)
