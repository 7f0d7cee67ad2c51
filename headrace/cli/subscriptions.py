"""`headrace subscriptions`: what is subscribed, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headrace.cli.backlog import ack, events, redeliver, undelivered
from headrace.cli.printable import printable
from headrace.cli.start import PLACES, Start, parse_start
from headrace.cli.subscription_attempts import attempts
from headrace.cli.subscription_id import Id, Json
from headrace.cli.subscription_options import pairs
from headrace.cli.subscription_secrets import reveal_secret, rotate_secret
from headrace.cli.subscription_snapshots import delete_snapshot, snapshot, snapshots
from headrace.cli.subscription_update import update
from headrace.cli.talk import Failure, Url, talk

if TYPE_CHECKING:
    from headrace.client import Client

MAX_ANSWER_CHARS = 160

subscriptions = typer.Typer(help="List, show, change, pause, move, test and delete subscriptions.")


@subscriptions.callback(invoke_without_command=True)
def default(context: typer.Context, json: Json = False, url: Url = None) -> None:
    """List, show, change, pause, move, test and delete subscriptions; without a command, list them."""
    if context.invoked_subcommand is None:
        list_all(json=json, url=url)
    elif json or url:
        raise typer.BadParameter(f"give options after `{context.invoked_subcommand}`")


@subscriptions.command("list")
def list_all(
    feed: Annotated[str | None, typer.Option(help="Only those of this feed.", show_default=False)] = None,
    state: Annotated[
        Literal["active", "paused", "disabled"] | None,
        typer.Option(help="Only those in this state.", show_default=False),
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="Only those of this mode, such as webhook.", show_default=False)
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only those with this label; may be repeated.", show_default=False),
    ] = None,
    json: Json = False,
    url: Url = None,
) -> None:
    """List subscriptions, the oldest first."""
    labels = pairs(label or [], "--label")

    async def work(client: Client) -> None:
        from headrace.cli.subscription_view import print_all

        found = await client.subscriptions.list(feed=feed, state=state, mode=mode, labels=labels)
        print_all(found, json, narrowed=bool(feed or state or mode or labels))

    talk(url, work)


@subscriptions.command()
def show(id_: Id, json: Json = False, url: Url = None) -> None:
    """Show a subscription and how it stands: its position, its lag, what failed."""

    async def work(client: Client) -> None:
        from headrace.cli.subscription_view import print_one

        print_one(await client.subscriptions.get(id_), json)

    talk(url, work)


subscriptions.command()(update)


@subscriptions.command()
def pause(id_: Id, url: Url = None) -> None:
    """Push nothing until it is resumed; the position stays."""

    async def work(client: Client) -> None:
        paused = await client.subscriptions.pause(id_)
        typer.echo(f"{paused.id} is {paused.state}.", err=True)

    talk(url, work)


@subscriptions.command()
def disable(id_: Id, url: Url = None) -> None:
    """Give its endpoint up, as the relay does after days of failure; the position stays."""

    async def work(client: Client) -> None:
        disabled = await client.subscriptions.disable(id_)
        typer.echo(f"{disabled.id} is {disabled.state}.", err=True)

    talk(url, work)


@subscriptions.command()
def resume(
    id_: Id,
    from_now: Annotated[bool, typer.Option("--from-now", help="Leave out what came since it stopped.")] = False,
    url: Url = None,
) -> None:
    """Go on from where it was paused or disabled."""

    async def work(client: Client) -> None:
        resumed = await client.subscriptions.resume(id_, from_now=from_now)
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
def seek(
    id_: Id,
    from_: Annotated[str | None, typer.Option("--from", help=PLACES, show_default=False)] = None,
    snapshot: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where it was when the snapshot was made.", show_default=False)
    ] = None,
    url: Url = None,
) -> None:
    """Move a subscription: its events come again from there, or those between are left out."""
    if (from_ is None) == (snapshot is None):
        raise typer.BadParameter("say where: --from, or --snapshot")
    start: Start = {"offset": None, "from_time": None} if from_ is None else parse_start(from_)

    async def work(client: Client) -> None:
        from headrace.cli.subscription_view import print_one

        print_one(await client.subscriptions.seek(id_, snapshot=snapshot, **start), json=False)

    talk(url, work)


@subscriptions.command("test")
def push_test(id_: Id, url: Url = None) -> None:
    """Push one signed event of type headrace.test now, and tell how that went."""

    async def work(client: Client) -> None:
        trial = await client.subscriptions.test(id_)
        if not trial.delivered:
            answer = printable(trial.answer, MAX_ANSWER_CHARS)
            said = f" It answered: {answer}" if answer else ""
            raise Failure(f"Not delivered after {trial.seconds:.3f} s: {trial.error}.{said}")
        typer.echo(f"Delivered: answered {trial.status} after {trial.seconds:.3f} s.", err=True)

    talk(url, work)


OF_OTHER_FILES: list[Callable[..., None]] = [undelivered, attempts, redeliver, events, ack]
OF_OTHER_FILES += [snapshot, snapshots, delete_snapshot, rotate_secret, reveal_secret]
for command in OF_OTHER_FILES:
    subscriptions.command()(command)
