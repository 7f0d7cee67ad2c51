"""`headrace pull`: the events of a feed as lines of JSON."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.start import From, Start, parse_start
from headrace.cli.talk import Failure, Url, talk

if TYPE_CHECKING:
    from headrace.client import Checkpoint, Client

PATIENCE_S = 30.0


def pull(
    feed: Annotated[str, typer.Argument(help="The feed's name.", show_default=False)],
    from_: From = "-1",
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
    url: Url = None,
) -> None:
    """Print a feed's events, one CloudEvent in each line (NDJSON).

    Events of one partition, so of one key, are in order. When the gateway goes away meanwhile, this waits for it.
    """
    from headrace.client import Checkpoint

    start = parse_start(from_)
    kept = None if checkpoint is None else Checkpoint(checkpoint, feed)
    talk(url, lambda client: _print(client, feed, start, follow, limit, kept))


async def _print(
    client: Client, feed: str, start: Start, follow: bool, limit: int | None, kept: Checkpoint | None
) -> None:
    from headrace.client import CheckpointError, OffsetGone

    try:
        if kept is not None and (offset := kept.load()) is not None:
            start = {"offset": offset, "from_time": None}
        # A gateway that is not there from the beginning is told at once; one that goes away is waited for.
        await client.feed(feed)
        pages = client.read(feed, **start, follow=follow, max_events=limit, patience_s=None if follow else PATIENCE_S)
        async for page in pages:
            # No await between printing a page and saving the position after it: Ctrl-C comes before both or after both.
            sys.stdout.buffer.write(page.body)
            sys.stdout.buffer.flush()
            if kept is not None:
                _sync_stdout()
                kept.save(page.next_offset)
    except CheckpointError as error:
        raise Failure(str(error)) from None
    except OffsetGone as error:
        go_on = f"--from {error.earliest_offset}"
        if kept is not None:
            go_on = f"delete {kept.path} and pull again with {go_on}"
        raise Failure(f"{error}\nThe earliest that is kept: {go_on}") from None


def _sync_stdout() -> None:
    """After a crash of the machine a file must not end before the position that was saved for it."""
    descriptor = sys.stdout.fileno()
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fsync(descriptor)
