"""`headrace pull`: the events of a feed, or of a pull subscription, as lines of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headrace.cli.printing import print_page, sync_stdout
from headrace.cli.start import PLACES, Start, parse_start
from headrace.cli.talk import Failure, Url, talk

if TYPE_CHECKING:
    from headrace.client import Checkpoint, Client

PATIENCE_S = 30.0


def pull(
    feed: Annotated[str | None, typer.Argument(metavar="FEED", help="The feed's name.", show_default=False)] = None,
    subscription: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Of this pull subscription, what it has not had.", show_default=False),
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help=f"{PLACES} -1 unless set otherwise.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on live at the end of the feed.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many events.", show_default=False)] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="A file that keeps the position after what was printed. Where it exists, it goes before --from.",
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    filter_: Annotated[
        str | None,
        typer.Option("--filter", metavar="CEL", help="Only events for which this is true.", show_default=False),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only events with this key.", show_default=False)] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, help="Only events of this partition.", show_default=False)
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, help="Most bytes of events in one answer.", show_default=False)
    ] = None,
    transport: Annotated[
        Literal["long-poll", "sse", "websocket"] | None,
        typer.Option(help="How to follow; long-poll unless set otherwise.", show_default=False),
    ] = None,
    slow: Annotated[
        Literal["conflate", "disconnect"] | None,
        typer.Option(
            help="With sse: of what came while this was slow, the latest of each key; or end and come again.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Print events, one CloudEvent in each line (NDJSON): of a FEED, or of a pull subscription.

    Events of one partition, so of one key, are in order. When the gateway goes away meanwhile, this waits for it. A
    subscription's events are acknowledged once they are printed, in its order: its position goes with them.
    """
    options = {
        "--from": from_,
        "--checkpoint": checkpoint,
        "--filter": filter_,
        "--key": key,
        "--partition": partition,
        "--max-bytes": max_bytes,
        "--transport": transport,
        "--slow": slow,
    }
    if subscription is not None:
        for name, value in {"FEED": feed, **options}.items():
            if value is not None:
                raise typer.BadParameter("a subscription says itself what it is of", param_hint=name)
        talk(url, lambda client: _print_subscription(client, subscription, follow, limit))
        return
    if feed is None:
        raise typer.BadParameter("give it, or a --subscription", param_hint="FEED")
    if transport not in (None, "long-poll") and (limit is not None or not follow):
        raise typer.BadParameter("goes with --follow, and without --limit", param_hint="--transport")
    if slow is not None and transport != "sse":
        raise typer.BadParameter("goes with --transport sse", param_hint="--slow")
    how: dict[str, Any] = {"follow": follow, "max_events": limit, "transport": transport or "long-poll", "slow": slow}
    wanted = {"filter": filter_, "key": key, "partition": partition, "max_bytes": max_bytes}
    how |= {name: value for name, value in wanted.items() if value is not None}
    start = parse_start("-1" if from_ is None else from_)
    talk(url, lambda client: _print_feed(client, feed, start, how, checkpoint))


async def _print_feed(client: Client, feed: str, start: Start, how: dict[str, Any], path: Path | None) -> None:
    from headrace.client import Checkpoint, CheckpointError, OffsetGone

    kept: Checkpoint | None = None if path is None else Checkpoint(path, feed)
    try:
        if kept is not None and (offset := kept.load()) is not None:
            start = {"offset": offset, "from_time": None}
        # A gateway that is not there from the beginning is told at once; one that goes away is waited for.
        await client.feed(feed)
        async for page in client.read(feed, **start, **how, patience_s=None if how["follow"] else PATIENCE_S):
            # No await between printing a page and saving the position after it: Ctrl-C comes before both or after both.
            print_page(page)
            if kept is not None:
                sync_stdout()
                kept.save(page.next_offset)
    except CheckpointError as error:
        raise Failure(str(error)) from None
    except OffsetGone as error:
        go_on = f"--from {error.earliest_offset}"
        if kept is not None:
            go_on = f"delete {kept.path} and pull again with {go_on}"
        raise Failure(f"{error}\nThe earliest that is kept: {go_on}") from None


async def _print_subscription(client: Client, subscription: str, follow: bool, limit: int | None) -> None:
    # What is wrong from the beginning is told at once; a gateway that goes away later is waited for.
    await client.subscriptions.get(subscription)
    pages = client.subscription(subscription).read(
        follow=follow, max_events=limit, patience_s=None if follow else PATIENCE_S
    )
    async for page in pages:
        print_page(page)
        # It is acknowledged when the next is asked for: then it must lie where it is safe.
        sync_stdout()
