"""`headrace subscriptions undelivered`, `redeliver`, `events` and `ack`: what was not delivered, and what is done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.printing import print_page
from headrace.cli.start import parse_start, parse_time
from headrace.cli.subscription_id import Id, Json
from headrace.cli.talk import Url, talk

if TYPE_CHECKING:
    from headrace.client import Client

To = Annotated[str | None, typer.Option("--to", help="Up to a time like 2026-11-24T09:00:00Z.", show_default=False)]


def undelivered(
    id_: Id,
    from_: Annotated[
        str | None, typer.Option("--from", help="Since a time like 2026-11-24T09:00:00Z.", show_default=False)
    ] = None,
    json: Json = False,
    url: Url = None,
) -> None:
    """Show what was not delivered: what waits, what failed and waits for its retry, what was given up."""
    since = None if from_ is None else parse_time(from_, "--from")

    async def work(client: Client) -> None:
        from headrace.cli.backlog_view import print_undelivered

        print_undelivered(await client.subscriptions.undelivered(id_, from_time=since), json)

    talk(url, work)


def redeliver(
    id_: Id,
    event: Annotated[
        str | None,
        typer.Option(metavar="PARTITION/OFFSET", help="One event, by its place in the feed.", show_default=False),
    ] = None,
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="What was given up: all of it, or --from a time.")
    ] = False,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="All since then: -1 (the beginning), an offset from a read, or a time like 2026-11-24T09:00:00Z.",
            show_default=False,
        ),
    ] = None,
    to: To = None,
    url: Url = None,
) -> None:
    """Push events once more: one, the dead letters, or all of a range. Its position stays where it is."""
    if event is not None and (dead_letters or from_ or to):
        raise typer.BadParameter("an --event is one event; it goes with nothing else")
    if event is None and not dead_letters and from_ is None:
        raise typer.BadParameter("say what: --event, --dead-letters, or --from")
    if dead_letters and to is not None:
        raise typer.BadParameter("--to is the end of a range; dead letters have a --from only")
    place = None if event is None else _place(event)
    since = parse_time(from_, "--from") if dead_letters and from_ is not None else None
    start = parse_start(from_ or "-1")
    end = None if to is None else parse_time(to, "--to")

    async def work(client: Client) -> None:
        pushed = client.subscriptions
        if place is not None:
            count = await pushed.redeliver_event(id_, *place)
        elif dead_letters:
            count = await pushed.redeliver_dead_letters(id_, from_time=since)
        else:
            count = await pushed.redeliver_range(id_, **start, to_time=end)
        typer.echo(f"{count:,} events are pushed once more.", err=True)

    talk(url, work)


def _place(text: str) -> tuple[int, int]:
    if not (found := re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)):
        raise typer.BadParameter(f"{text} is not PARTITION/OFFSET, such as 0/17", param_hint="--event")
    return int(found[1]), int(found[2])


def events(
    id_: Id,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.", show_default=False)] = None,
    take: Annotated[
        bool, typer.Option("--ack", help="Take what was printed for delivered, and print all there are, or --limit.")
    ] = False,
    url: Url = None,
) -> None:
    """Print events that were not delivered, one CloudEvent in each line (NDJSON): to catch up by hand.

    Without --ack it is one page, and the position stays: the same events come again, and are still pushed.
    """
    talk(url, lambda client: _events(client, id_, limit, take))


async def _events(client: Client, id_: str, limit: int | None, take: bool) -> None:
    left = limit
    while left is None or left > 0:
        page = await client.subscriptions.pull(id_, limit=left)
        # Printed before it counts as delivered: what a broken pipe cuts off comes again.
        print_page(page)
        if not take:
            if len(page):
                typer.echo(f"After these: headrace subscriptions ack {id_} {page.next_offset}", err=True)
            return
        if not len(page):
            return
        await client.subscriptions.ack(id_, page.next_offset)
        left = None if left is None else left - len(page)


def ack(
    id_: Id,
    offset: Annotated[str, typer.Argument(metavar="OFFSET", help="The offset after them.", show_default=False)],
    url: Url = None,
) -> None:
    """Take all events before an offset for delivered: pushing goes on from there."""

    async def work(client: Client) -> None:
        await client.subscriptions.ack(id_, offset)
        typer.echo(f"{id_} goes on from {offset}.", err=True)

    talk(url, work)
