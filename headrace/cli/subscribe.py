"""`headrace subscribe`: have a feed's events pushed to a URL."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.start import From, Start, parse_start
from headrace.cli.talk import Url, talk

if TYPE_CHECKING:
    from headrace.client import Client


class Ordering(StrEnum):
    """What an event waits for."""

    NONE = "none"
    KEY = "key"


def subscribe(
    feed: Annotated[str, typer.Argument(help="The feed's name.", show_default=False)],
    endpoint: Annotated[
        str, typer.Argument(metavar="URL", help="Where its events are posted, one by one.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(help="The subscription's id; one is made where you give none.", show_default=False)
    ] = None,
    from_: From = "now",
    ordering: Annotated[
        Ordering, typer.Option(help="With `key`, an event waits until the one before it of its key was taken.")
    ] = Ordering.NONE,
    description: Annotated[str, typer.Option(help="A note for people.", show_default=False)] = "",
    json: Annotated[bool, typer.Option("--json", help="JSON, as also where stdout is no terminal.")] = False,
    url: Url = None,
) -> None:
    """Create a webhook subscription and print it, with the secret that signs its pushes: it is shown this once."""
    start = parse_start(from_)
    talk(url, lambda client: _subscribe(client, feed, endpoint, name, start, ordering, description, json))


async def _subscribe(
    client: Client,
    feed: str,
    endpoint: str,
    name: str | None,
    start: Start,
    ordering: Ordering,
    description: str,
    json: bool,
) -> None:
    from headrace.cli.subscription_view import print_one

    made = await client.subscriptions.create(
        feed, endpoint, name=name, ordering=ordering.value, description=description, **start
    )
    print_one(made, json)
    if json:
        return
    typer.echo(
        f"""
Keep the secret where your receiver finds it: it verifies the webhook-signature header (standardwebhooks.com).
  headrace subscriptions test {made.id}    pushes one signed event of type headrace.test
  headrace subscriptions show {made.id}    shows how far it is, and its last error
  headrace listen --secret whsec_...    is a receiver to try it with, if the URL is one of this machine""",
        err=True,
    )
